// Says in words why an entry of the history came to be, and what it did.

export const STATES = {
  underway: "under way",
  done: "done",
  failed: "failed",
  gave_way: "gave way to something more urgent",
  interrupted: "interrupted",
};

export function causeTitle({ cause }) {
  if (cause.kind === "hold_ended") return `The hold of ${cause.service} ended`;
  if (cause.kind === "healing") return "Healing";
  if (cause.kind === "roll_back") return `${cause.service} was put back as it was`;
  return cause.by || cause.kind;
}

export function causeDetail({ cause }) {
  const parts = [];
  if (cause.who) parts.push(`by ${cause.who}`);
  if (cause.why) parts.push(`“${cause.why}”`);
  if (cause.note) parts.push(cause.note);
  if (cause.because) parts.push(`because ${cause.because}`);
  if (cause.kind === "hold_ended" && cause.by) parts.push(`it was ordered by ${cause.by}`);
  if (cause.kind === "healing") parts.push("nobody ordered it: something was no longer as declared");
  return parts.join(" · ");
}

export const SIGNS = { add: "+", remove: "−", change: "~", wait: "·" };

export function writing(entry) {
  return entry.steps.filter((step) => step.sign !== "wait");
}

// In one line, for the timeline between exchanges.
export function summary(entry) {
  const steps = writing(entry).filter((step) => ["service", "command", "orphan"].includes(step.subject?.kind));
  const shown = steps.slice(0, 3).map((step) => step.action);
  if (steps.length > 3) shown.push(`${steps.length - 3} more`);
  const reason = steps.find((step) => step.reason)?.reason;
  return { steps, actions: shown.join(", "), reason: reason ?? "" };
}
