// Lays exchanges out along time. Times in which nothing happened are drawn short, so that short calls can still be seen.

const GAP = 0.006;

function endOf(item, now) {
  return item.state === "open" ? Math.max(now, item.at) : item.at + (item.total_ms ?? 0);
}

// Parts of an exchange, in milliseconds from its beginning.
export function phases(item, now) {
  const total = Math.max(0, endOf(item, now) - item.at);
  const first = Math.min(total, item.first_byte_ms ?? total);
  const connect = Math.min(first, item.connect_ms ?? 0);
  return [[0, connect], [connect, first], [first, total]];
}

// Answers a function from times to percents.
export function layOut(items, now) {
  if (!items.length) return () => 0;
  const done = items.filter((item) => item.state === "done").map((item) => item.total_ms ?? 0).sort((one, other) => one - other);
  const middle = done[done.length >> 1] ?? 20;
  // One long call among short ones would press all others flat; its bar just goes on.
  const most = Math.max(50, middle * 8);
  const spans = items
    .map((item) => [item.at, Math.min(endOf(item, now), item.at + (item.state === "open" ? middle : most))])
    .sort((one, other) => one[0] - other[0]);
  const busy = [];
  for (const [from, to] of spans) {
    const last = busy.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else busy.push({ from, to });
  }
  const sum = Math.max(1, busy.reduce((all, span) => all + span.to - span.from, 0));
  let width = 0;
  for (const [index, span] of busy.entries()) {
    if (index) width += Math.min(span.from - busy[index - 1].to, sum * GAP);
    span.start = width;
    width += span.to - span.from;
    span.end = width;
  }
  const scale = 100 / Math.max(1, width);
  return (time) => {
    let low = 0;
    let high = busy.length;
    while (low < high) {
      const half = (low + high) >> 1;
      if (busy[half].from <= time) low = half + 1;
      else high = half;
    }
    const span = busy[low - 1];
    if (!span) return 0;
    if (time <= span.to) return (span.start + time - span.from) * scale;
    const next = busy[low];
    if (!next) return 100;
    return (span.end + (next.start - span.end) * ((time - span.to) / (next.from - span.to))) * scale;
  };
}

export function showBars(bars, item, { place, now }) {
  phases(item, now).forEach(([begin, end], index) => {
    const left = Math.min(99.4, place(item.at + begin));
    const width = Math.max(0, place(item.at + end) - left);
    const told = `${left.toFixed(2)} ${width.toFixed(2)}`;
    if (bars[index].told === told) return;
    bars[index].told = told;
    bars[index].style.left = `${left}%`;
    bars[index].style.width = `${width}%`;
  });
}
