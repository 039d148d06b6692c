/** The smallest input found for which `test` still holds: stretches go first, then bytes become 0. */
export function minimise(input, test, repair) {
  let best = input.slice();
  let tries = 5_000;
  // Cut in the middle, a stream may say something again once its lengths are right.
  const fails = (candidate) => test(candidate) || (repair !== undefined && (repair(candidate), test(candidate)));
  for (let size = best.length >> 1 || 1; size > 0; size >>= 1) {
    for (let at = 0; at < best.length && tries-- > 0;) {
      const candidate = Uint8Array.from([...best.subarray(0, at), ...best.subarray(at + size)]);
      if (candidate.length < best.length && fails(candidate)) best = candidate;
      else at += size;
    }
  }
  for (let at = 0; at < best.length && tries-- > 0; at++) {
    const candidate = best.slice();
    candidate[at] = 0;
    if (best[at] !== 0 && fails(candidate)) best = candidate;
  }
  return best;
}
