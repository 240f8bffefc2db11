// Follows the log of one container, and goes on where it was after a break.

import { plain } from "./ansi.js";
import { Stream } from "./streams.js";

const TAIL = 200;
const LONGEST = 16384;

export class LogStream {
  constructor({ container, name, line }) {
    this.name = name;
    this.tell = line;
    this.last = "";
    this.before = "";
    // A log may well be silent for long.
    this.stream = new Stream({
      address: () => `/containers/${encodeURIComponent(this.container)}/logs?follow=true&tail=${TAIL}&timestamps=true`,
      read: (response, heard) => {
        this.before = this.last;
        return frames(response, heard);
      },
      silence: 0,
      mayEnd: true,
      line: ({ error, text }) => this.take(text, error),
    });
    this.container = container;
    this.stream.start();
  }

  // A replaced container goes on under the same name.
  change(container) {
    if (container === this.container) return;
    this.container = container;
    this.stream.start();
  }

  stop() {
    this.stream.stop();
  }

  take(text, error) {
    const space = text.indexOf(" ");
    const stamp = space < 0 ? text : text.slice(0, space);
    // After a break the tail comes once more.
    if (stamp <= this.before) return;
    this.last = stamp;
    const whole = space < 0 ? "" : text.slice(space + 1).slice(0, LONGEST);
    const shown = whole.slice(whole.lastIndexOf("\r", whole.length - 2) + 1).replace(/\r$/, "");
    this.tell({ name: this.name, stamp, at: Date.parse(stamp), raw: shown, text: plain(shown), error });
  }
}

export async function* frames(response, heard) {
  const reader = response.body.getReader();
  const halves = { 1: { decoder: new TextDecoder(), rest: "" }, 2: { decoder: new TextDecoder(), rest: "" } };
  let buffer = new Uint8Array(0);
  for (;;) {
    const { done, value } = await reader.read();
    heard();
    if (done) break;
    buffer = join(buffer, value);
    let at = 0;
    while (buffer.length - at >= 8) {
      const length = new DataView(buffer.buffer, buffer.byteOffset + at + 4, 4).getUint32(0);
      if (buffer.length - at - 8 < length) break;
      const kind = buffer[at] === 2 ? 2 : 1;
      const half = halves[kind];
      half.rest += half.decoder.decode(buffer.subarray(at + 8, at + 8 + length), { stream: true });
      at += 8 + length;
      const ready = half.rest.split("\n");
      half.rest = ready.pop();
      for (const text of ready) yield { text, error: kind === 2 };
    }
    buffer = buffer.slice(at);
  }
  for (const [kind, half] of Object.entries(halves)) if (half.rest) yield { text: half.rest, error: kind === "2" };
}

function join(before, after) {
  if (!before.length) return after;
  const both = new Uint8Array(before.length + after.length);
  both.set(before);
  both.set(after, before.length);
  return both;
}
