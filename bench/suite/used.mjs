// What this process holds once nothing is left that could still go; the tests of counted memory measure by it too. It takes
// --expose-gc.

/** Bytes of the heap and of buffers. What a collection finds is given back with the steps that follow it. */
export async function used() {
  for (let round = 0; round < 4; round++) {
    await new Promise(setImmediate);
    gc();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
