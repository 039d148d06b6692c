/** The errors that a client makes itself: what caused each, which statement it is about, and whether to try again. */
import { expect, test } from "vitest";
import * as failures from "../../src/client/failures.js";
import { HubwireError } from "../../src/errors.js";

const cause = new HubwireError("ERR_TIMEOUT", "why");

test.each<[string, () => HubwireError, string, (string | undefined)?, unknown?]>([
  ["closedError", () => failures.closedError(), "ERR_CLOSED"],
  ["stoppedError", () => failures.stoppedError(), "ERR_NOT_CONNECTED"],
  ["stoppedError", () => failures.stoppedError(cause), "ERR_NOT_CONNECTED", undefined, cause],
  ["timeoutError", () => failures.timeoutError("7 ms"), "ERR_CONNECT_TIMEOUT"],
  ["refusedError", () => failures.refusedError("a/+"), "ERR_SUBSCRIBE_REFUSED", "MQTT-3.9.3-2"],
  ["takeoverError", () => failures.takeoverError(cause), "ERR_TAKEOVER", "MQTT-3.1.4-2", cause],
  ["unexpectedError", () => failures.unexpectedError("t"), "ERR_UNEXPECTED_MESSAGE", "MQTT-3.3.2-3"],
  ["credentialsError", () => failures.credentialsError("why"), "ERR_HANDLER", undefined, "why"],
  ["speaksTlsError", () => failures.speaksTlsError(), "ERR_TLS_NOT_TLS"],
  ["beforeConnackError", () => failures.beforeConnackError(cause), "ERR_CONNECTION_LOST", "MQTT-3.1.4-1", cause],
])("%s", (_name, make, code, statement, why) => {
  // Not made where the tests are read, which mutation testing would take for a constant.
  const error = make();
  expect(error).toBeInstanceOf(HubwireError);
  expect([error.code, error.statement, error.cause]).toEqual([code, statement, why]);
});

test("a credentials callback that fails is asked again", () => {
  expect(failures.credentialsError("why").retryable).toBe(true);
});

test("the credentials callback's own HubwireError is passed on as it is", () => {
  expect(failures.credentialsError(cause)).toBe(cause);
});

test("a topic of the server's choice is quoted, with its control characters escaped, and no more than its beginning", () => {
  expect(failures.unexpectedError("a\nb").message).toContain('"a\\nb"');
  const { message } = failures.unexpectedError("x".repeat(60_000));
  expect(message).toContain("x".repeat(199));
  expect(message).not.toContain("x".repeat(200));
});
