// Keeps a stream of lines open: it comes back by itself, and silence counts as broken.

import { lines, request } from "./api.js";

const FIRST_WAIT = 250;
const LONGEST_WAIT = 5000;
const SILENCE = 25000;

const streams = new Set();
let watcher = () => {};

// Told with the number of streams that are broken now.
export function whenBroken(listener) {
  watcher = listener;
}

export class Stream {
  constructor({ address, line, refused = () => {}, read = lines, silence = SILENCE, mayEnd = false }) {
    Object.assign(this, { address, line, refused, read, silence, mayEnd });
    this.controller = null;
    this.broken = false;
  }

  start() {
    this.stop();
    this.controller = new AbortController();
    streams.add(this);
    this.run(this.controller.signal);
  }

  stop() {
    this.controller?.abort();
    this.controller = null;
    streams.delete(this);
    this.mark(false);
  }

  mark(broken) {
    this.broken = broken;
    let number = 0;
    for (const stream of streams) if (stream.broken) number += 1;
    watcher(number);
  }

  async run(signal) {
    let wait = FIRST_WAIT;
    while (!signal.aborted) {
      let broken = !this.mayEnd;
      try {
        await this.once(signal, () => {
          wait = FIRST_WAIT;
          if (this.broken) this.mark(false);
        });
      } catch (error) {
        if (signal.aborted || error.status === 401) return;
        if (error.status === 400) {
          this.refused(error);
          return;
        }
        broken = !(error.status >= 400 && error.status < 500);
      }
      if (signal.aborted) return;
      if (broken !== this.broken) this.mark(broken);
      if (!broken) wait = LONGEST_WAIT;
      await pause(wait, signal);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    }
  }

  async once(signal, heard) {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    signal.addEventListener("abort", end);
    let alarm = 0;
    const listen = () => {
      clearTimeout(alarm);
      if (this.silence) alarm = setTimeout(end, this.silence);
    };
    listen();
    try {
      const response = await request(this.address(), { signal: attempt.signal });
      for await (const line of this.read(response, listen)) {
        if (signal.aborted) return;
        heard();
        this.line(line);
      }
    } finally {
      clearTimeout(alarm);
      signal.removeEventListener("abort", end);
      attempt.abort();
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
