// What runs now: workspaces, services, containers and what they use, as the server tells it.

import { Stream } from "./streams.js";

const KEPT = 120000;

class Live extends EventTarget {
  constructor() {
    super();
    this.workspaces = [];
    this.adhoc = [];
    this.usage = new Map();
    this.known = false;
    this.port = Number(location.port) || 80;
    this.version = "";
    this.receivedAt = 0;
    this.stream = new Stream({ address: () => "/live", line: (line) => this.take(line) });
  }

  take(line) {
    if (line.kind === "hello") {
      this.port = line.port ?? this.port;
      this.version = line.version ?? "";
    } else if (line.kind === "state") {
      this.workspaces = line.workspaces ?? [];
      this.adhoc = line.adhoc ?? [];
      this.receivedAt = Date.now();
      this.known = true;
      this.dispatchEvent(new Event("state"));
    } else if (line.kind === "usage") {
      this.measure(line);
      this.dispatchEvent(new Event("usage"));
    }
  }

  measure({ at, containers }) {
    for (const [id, { cpu, memory, limit }] of Object.entries(containers)) {
      const points = this.usage.get(id) ?? [];
      points.push({ at, cpu, memory, limit });
      this.usage.set(id, points);
    }
    for (const [id, points] of this.usage) {
      while (points.length && points[0].at < at - KEPT) points.shift();
      if (!points.length) this.usage.delete(id);
    }
  }

  containers() {
    const all = [];
    for (const workspace of this.workspaces) {
      for (const service of workspace.services) {
        for (const container of service.containers) all.push({ workspace: workspace.workspace, service: service.name, container });
      }
      for (const command of workspace.commands) {
        if (command.container) all.push({ workspace: workspace.workspace, service: command.name, container: command.container });
      }
    }
    for (const container of this.adhoc) all.push({ workspace: null, service: container.name, container });
    return all;
  }

  routes() {
    const hosts = [];
    for (const workspace of this.workspaces) {
      for (const service of workspace.services) {
        const url = service.host ? routeUrl(service.host, this.port) : null;
        if (url) hosts.push({ workspace: workspace.workspace, service: service.name, state: service.state, url });
      }
    }
    return hosts;
  }
}

// The name comes from elsewhere: only a plain host name may become a link.
export function routeUrl(host, port) {
  if (!/^[a-z0-9_.-]+$/i.test(host)) return null;
  return port === 80 ? `http://${host}/` : `http://${host}:${port}/`;
}

export const live = new Live();
