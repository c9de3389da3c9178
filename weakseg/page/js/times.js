// Seconds that things took, as the clock gives them: {wall, active: {cap: seconds}}.

/** Return the times from one to another; null: from the beginning. */
export function minus(now, then) {
  return then ? each(now, then, (a, b) => Math.max(0, a - b)) : now;
}

/** Return two times together; other: null: no more. */
export function plus(one, other) {
  return other ? each(one, other, (a, b) => a + b) : one;
}

/** Join two times number by number. */
function each(one, other, join) {
  const round = (value) => Math.round(value * 1000) / 1000;
  const active = Object.fromEntries(
    Object.keys(one.active).map((cap) => [
      cap,
      round(join(one.active[cap], other.active[cap] ?? 0)),
    ]),
  );
  return { wall: round(join(one.wall, other.wall)), active };
}
