// Keeps the exchanges of the present filter, sorted by number, and follows the server for more.

import { query } from "./api.js";
import { Stream } from "./streams.js";

// Ten times what the server keeps: whoever leaves the page open sees further back than it does.
const REMEMBERED = 10000;

const SLACK = 512;

class ExchangeStore extends EventTarget {
  constructor() {
    super();
    this.list = [];
    this.filter = "";
    this.problem = null;
    this.dropped = 0;
    this.most = REMEMBERED;
    this.fresh = true;
    this.forget();
    this.stream = new Stream({
      address: () => `/exchanges/follow${query({ filter: this.filter, after: this.after, epoch: this.epoch })}`,
      line: (line) => this.take(line),
      refused: (error) => this.refuse(error),
    });
  }

  forget() {
    this.after = null;
    this.epoch = null;
  }

  follow(filter) {
    this.filter = filter;
    this.forget();
    this.problem = null;
    // The old rows stay until the new ones come, so that typing does not flicker.
    this.fresh = true;
    this.stream.start();
  }

  refuse(error) {
    this.problem = error;
    this.tell();
  }

  take(line) {
    if (line.kind === "exchange") {
      this.put(line);
    } else if (line.kind === "gone") {
      const index = this.find(line.number);
      if (index >= 0) this.list.splice(index, 1);
    } else if (line.kind === "dropped") {
      this.dropped = line.dropped;
    } else if (line.kind === "cleared") {
      this.list = [];
    } else if (line.kind === "hello") {
      const another = line.epoch !== this.epoch;
      if (this.fresh || another) {
        this.list = [];
        this.after = null;
      }
      // Numbers begin anew there: nothing that is shown means the same any more.
      if (!this.fresh && another) this.dispatchEvent(new Event("reset"));
      this.fresh = false;
      this.epoch = line.epoch;
      this.most = Math.max(line.most ?? 0, REMEMBERED);
      this.dropped = line.dropped ?? 0;
    } else {
      return;
    }
    this.tell();
  }

  put(summary) {
    if (this.after === null || summary.seq > this.after) this.after = summary.seq;
    const last = this.list.at(-1);
    if (!last || summary.number > last.number) {
      this.list.push(summary);
      if (this.list.length > this.most + SLACK) this.list.splice(0, this.list.length - this.most);
      return;
    }
    const index = this.place(summary.number);
    const present = this.list[index];
    // Changed in place: whoever holds a row of it sees it grow.
    if (present?.number === summary.number) Object.assign(present, summary);
    else this.list.splice(index, 0, summary);
  }

  place(number) {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle].number < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  find(number) {
    const index = this.place(number);
    return this.list[index]?.number === number ? index : -1;
  }

  get(number) {
    return this.list[this.find(number)] ?? null;
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}

export const exchanges = new ExchangeStore();
