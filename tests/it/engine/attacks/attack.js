// Gives every order to every base in every way a page has, and hands over what it
// could read: `[how, status]`, where `null` is nothing.
const [bases, orders, done] = arguments;
const attempts = [];
const attempt = (how, giving) =>
  attempts.push(
    Promise.race([
      Promise.resolve().then(giving).catch(() => null),
      new Promise((over) => setTimeout(over, 5000, null)),
    ]).then((status) => [how, status ?? null]),
  );

const json = { "Content-Type": "application/json" };
for (const base of bases) {
  for (const { method, path, body } of orders) {
    const url = base + path;
    const sent = method === "GET" ? undefined : body;
    const how = (way) => `${way} ${method} ${url || path}`;
    attempt(how("fetch"), async () => (await fetch(url, { method, body: sent, headers: json })).status);
    attempt(how("fetch with credentials"), async () =>
      (await fetch(url, { method, body: sent, headers: json, credentials: "include" })).status);
    attempt(how("fetch as text"), async () => (await fetch(url, { method, body: sent })).status);
    attempt(how("fetch without an answer"), async () =>
      (await fetch(url, { method, body: sent, mode: "no-cors" })).status || null);
    attempt(how("XMLHttpRequest"), () =>
      new Promise((answered) => {
        const request = new XMLHttpRequest();
        request.open(method, url);
        request.setRequestHeader("Content-Type", "application/json");
        request.onload = () => answered(request.status);
        request.onerror = () => answered(null);
        request.send(sent);
      }));
    if (method === "GET") {
      for (const element of ["img", "script", "iframe"]) {
        attempt(how(element), () => {
          const child = document.createElement(element);
          child.src = url;
          document.body.append(child);
          return null;
        });
      }
      continue;
    }
    attempt(how("beacon"), () => void navigator.sendBeacon(url, body));
    attempt(how("beacon of JSON"), () =>
      void navigator.sendBeacon(url, new Blob([body], { type: "application/json" })));
    for (const kind of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      attempt(how(`form of ${kind}`), () =>
        new Promise((answered) => {
          const frame = document.createElement("iframe");
          frame.name = `frame${attempts.length}${Math.random()}`;
          document.body.append(frame);
          const form = document.createElement("form");
          Object.assign(form, { method: "POST", action: url, enctype: kind, target: frame.name });
          // As text, `name=value` is JSON with one word too many.
          const field = document.createElement("input");
          field.name = body.slice(0, -1) + ',"x":"';
          field.value = '"}';
          form.append(field);
          document.body.append(form);
          frame.onload = () => answered(null);
          form.submit();
        }));
    }
  }
}
Promise.all(attempts).then(done);
