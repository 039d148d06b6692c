import { describe, expect, it } from "vitest";
import { Alarm } from "../../src/clock.js";
import { FakeClock } from "../support/clock.js";

const LONGEST = 2 ** 31 - 1;

describe("Alarm", () => {
  it("fires once, at the time last set, earlier or later", () => {
    const clock = new FakeClock(Date.now());
    const fired: number[] = [];
    const alarm = new Alarm(clock, () => fired.push(clock.now()));
    const start = clock.now();
    alarm.set(start + 100);
    alarm.set(start + 50);
    clock.advance(49);
    alarm.set(start + 80);
    clock.advance(1000);
    expect(fired).toEqual([start + 80]);
    expect(clock.pending).toBe(0);
  });

  it("moves to later times without a new timer", () => {
    const clock = new FakeClock(Date.now());
    const alarm = new Alarm(clock, () => {});
    for (let later = 100; later < 200; later++) alarm.set(clock.now() + later);
    expect(clock.delays).toEqual([100]);
  });

  it("counts further than a timer can", () => {
    const clock = new FakeClock(Date.now());
    let fired = 0;
    const alarm = new Alarm(clock, () => fired++);
    alarm.set(clock.now() + 3 * LONGEST);
    clock.advance(3 * LONGEST - 1);
    expect(fired).toBe(0);
    clock.advance(1);
    expect(fired).toBe(1);
    expect(Math.max(...clock.delays)).toBe(LONGEST);
  });

  it("does not fire after it was stopped or set to never", () => {
    const clock = new FakeClock(Date.now());
    let fired = 0;
    const alarm = new Alarm(clock, () => fired++);
    alarm.set(clock.now() + 1);
    alarm.stop();
    expect(clock.pending).toBe(0);
    alarm.set(clock.now() + 1);
    alarm.set(Infinity);
    clock.advance(10);
    expect(fired).toBe(0);
  });
});
