/**
 * Depth-first exploration of all orders of steps in a scenario, each state once.
 *
 * Invariant: a state is its digest's 53-bit hash; among n states the chance that any two were taken for one
 * is about n^2 / 2^54 (6e-5 for a million), which can hide a state but never invent a fault.
 */
import type { OpenSession } from "./open-session.js";
import { World } from "./world.js";
import type { Scenario } from "./world.js";

export interface Exploration {
  states: number;
  steps: number;
  /** Whether every reachable state was seen, or the limit came first. */
  complete: boolean;
  /** The steps that lead to a violation, and what it is. */
  fault?: { path: string[]; message: string };
}

/** A 53-bit hash of a string. */
function hash(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x9e3779b1);
    b = Math.imul(b ^ unit, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return 4_294_967_296 * (b & 0x1fffff) + (a >>> 0);
}

/** Explores until everything was seen, `limit` states were, or a fault was found. */
export function explore(opened: OpenSession, scenario: Scenario, limit: number): Exploration {
  const seen = new Set<number>();
  const path: string[] = [];
  let steps = 0;
  const first = new World(opened, scenario);
  seen.add(hash(first.digest()));
  const stack = [{ world: first, names: first.steps(), next: 0 }];
  try {
    while (stack.length && seen.size < limit) {
      const top = stack[stack.length - 1]!;
      const name = top.names[top.next++];
      if (name === undefined) {
        stack.pop();
        path.pop();
        continue;
      }
      // The last step out of a state may have the state itself.
      const world = top.next < top.names.length ? top.world.clone() : top.world;
      path.push(name);
      steps++;
      world.apply(name);
      const key = hash(world.digest());
      if (seen.has(key)) {
        path.pop();
        continue;
      }
      seen.add(key);
      const names = world.steps();
      // Judged where the user and the network have least left to do, and in a sample of all other states.
      if (names.length < 2 || key % 8 === 0) {
        path.push("(fair end)");
        world.clone().complete();
        path.pop();
      }
      stack.push({ world, names, next: 0 });
    }
  } catch (error) {
    return { states: seen.size, steps, complete: false, fault: { path, message: (error as Error).message } };
  }
  return { states: seen.size, steps, complete: stack.length === 0 };
}
