/** The emulator's time where it is given none. Beside the emulator alone, so that no client carries it. */
import { type Clock, systemClock } from "../clock.js";

/** The process's own clock, but what waits for its timers doesn't keep the process alive. */
export const backgroundClock: Clock = {
  ...systemClock,
  setTimer: (callback, delay) => (systemClock.setTimer(callback, delay) as NodeJS.Timeout).unref(),
};
