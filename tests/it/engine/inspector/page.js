// What the tests of the page have at hand; what stands behind it is the body of an async
// function, and what that returns is the result.
const [given, done] = [arguments[0], arguments[arguments.length - 1]];
const find = (name, within = document) => within.querySelector(`[data-testid="${name}"]`);
const all = (name, within = document) => [...within.querySelectorAll(`[data-testid="${name}"]`)];
const is = (it) => it && it.getClientRects().length > 0;
const shown = (name) => all(name).find(is) ?? null;
const until = async (what, look) => {
  const end = performance.now() + 25000;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (performance.now() > end) throw new Error(`not in time: ${what}\n${document.body.innerText.slice(0, 1500)}`);
    await new Promise((next) => setTimeout(next, 10));
  }
};
const type = (field, text) => {
  field.focus();
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const key = (name) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const row = (text) => all("exchange-row").find((one) => is(one) && one.textContent.includes(text));
const open = async (text) => {
  if (shown("detail")?.textContent.includes(text)) return;
  const it = await until(`a row with ${text}`, () => row(text));
  it.click();
  await until("its details", () => shown("detail"));
};
