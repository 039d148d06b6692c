/** What the failures of DNS, TCP and TLS are called, by how far the connection had come. */
import { describe, expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import { begin, codeOf, explainFailure, type Stage } from "../../src/transport/failures.js";

const failure = (code: string): Error => Object.assign(new Error("node's own text"), { code });

describe("on the way", () => {
  test.each<[string, Stage, string, RegExp]>([
    ["ENOTFOUND", "dial", "ERR_DNS", /^h cannot be resolved/],
    ["EAI_AGAIN", "dial", "ERR_DNS", /cannot be resolved/],
    ["ENODATA", "dial", "ERR_DNS", /cannot be resolved/],
    ["ESERVFAIL", "dial", "ERR_DNS", /cannot be resolved/],
    ["ECONNREFUSED", "dial", "ERR_CONNECTION_REFUSED", /^h refused the connection/],
    ["EHOSTUNREACH", "dial", "ERR_UNREACHABLE", /cannot be reached/],
    ["ENETUNREACH", "dial", "ERR_UNREACHABLE", /cannot be reached/],
    ["EADDRNOTAVAIL", "dial", "ERR_UNREACHABLE", /cannot be reached/],
    ["ETIMEDOUT", "dial", "ERR_UNREACHABLE", /cannot be reached/],
    ["ERR_SOCKET_CONNECTION_TIMEOUT", "dial", "ERR_UNREACHABLE", /cannot be reached/],
    ["ECONNRESET", "dial", "ERR_UNREACHABLE", /^h could not be opened \(ECONNRESET\)$/],
    ["", "dial", "ERR_UNREACHABLE", /^h could not be opened$/],
    ["ERR_ACCESS_DENIED", "dial", "ERR_UNREACHABLE", /^h is denied to this process: start node with --allow-net/],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "handshake", "ERR_TLS_HOST_NAME", /certificate for another name/],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "handshake", "ERR_TLS_SELF_SIGNED", /self-signed certificate/],
    ["CERT_HAS_EXPIRED", "handshake", "ERR_TLS_EXPIRED", /not valid today/],
    ["CERT_NOT_YET_VALID", "handshake", "ERR_TLS_EXPIRED", /not valid today/],
    ["SELF_SIGNED_CERT_IN_CHAIN", "handshake", "ERR_TLS_UNTRUSTED", /untrusted issuer/],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "handshake", "ERR_TLS_UNTRUSTED", /untrusted issuer/],
    ["CERT_REVOKED", "handshake", "ERR_TLS_UNTRUSTED", /untrusted issuer/],
    ["INVALID_CA", "handshake", "ERR_TLS_UNTRUSTED", /untrusted issuer/],
    ["ERR_SSL_UNSUPPORTED_PROTOCOL", "handshake", "ERR_TLS_VERSION", /share no TLS version/],
    ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "handshake", "ERR_TLS_VERSION", /share no TLS version/],
    ["ERR_SSL_WRONG_VERSION_NUMBER", "handshake", "ERR_TLS_NOT_TLS", /does not speak TLS there/],
    ["ERR_SSL_PACKET_LENGTH_TOO_LONG", "handshake", "ERR_TLS_NOT_TLS", /does not speak TLS there/],
    ["ERR_SSL_HTTP_REQUEST", "handshake", "ERR_TLS_NOT_TLS", /does not speak TLS there/],
    ["ERR_SSL_INTERNAL_ERROR", "handshake", "ERR_TLS", /^h failed in TLS \(ERR_SSL_INTERNAL_ERROR\)$/],
    ["EPROTO", "handshake", "ERR_TLS", /^h failed in TLS \(EPROTO\)$/],
    ["ERR_TLS_HANDSHAKE_TIMEOUT", "handshake", "ERR_TLS", /failed in TLS/],
    ["ECONNRESET", "handshake", "ERR_TLS", /closed during the TLS handshake/],
  ])("%s in %s is %s", (code, stage, expected, message) => {
    const cause = failure(code);
    expect(explainFailure(cause, "h", stage)).toMatchObject({
      code: expected,
      message: expect.stringMatching(message),
      cause,
    });
  });

  test("a peer that only closes", () => {
    expect(explainFailure(undefined, "h", "dial")).toMatchObject({ code: "ERR_UNREACHABLE" });
    expect(explainFailure(undefined, "h", "handshake")).toMatchObject({ code: "ERR_TLS", retryable: true });
    expect("cause" in explainFailure(undefined, "h", "dial")).toBe(false);
  });

  test("what the permission model forbids, and a refusal of this client by the peer, are not tried again", () => {
    expect(explainFailure(failure("ERR_ACCESS_DENIED"), "h", "dial").retryable).toBe(false);
    for (const code of [
      "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE",
      "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
      "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED",
      "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
      "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
    ])
      for (const stage of ["handshake", "open"] as const)
        expect(explainFailure(failure(code), "h", stage)).toMatchObject({
          code: "ERR_TLS",
          retryable: false,
          message: `h failed in TLS (${code}): it refuses this client's certificate or ciphers`,
        });
    expect(explainFailure(failure("ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR"), "h", "open").retryable).toBe(true);
  });
});

test("of an open connection the code is told, and what it means on the way is not", () => {
  expect(explainFailure(failure("ETIMEDOUT"), "h", "open")).toMatchObject({
    code: "ERR_CONNECTION_LOST",
    message: "the connection failed (ETIMEDOUT)",
  });
  expect(explainFailure(failure(""), "h", "open").message).toBe("the connection failed");
  expect(explainFailure(undefined, "h", "open").message).toBe("the connection was closed by the peer");
  // Of a stream of the caller's own: no code of Node's.
  expect(explainFailure(failure("MY_ERR_TLS"), "h", "open").code).toBe("ERR_CONNECTION_LOST");
});

test("an error of ours stays, and what has no code has none", () => {
  const ours = new HubwireError("ERR_TIMEOUT", "late");
  expect(explainFailure(ours, "h", "dial")).toBe(ours);
  expect([codeOf({ code: "E" }), codeOf({ code: 5 }), codeOf({}), codeOf(undefined), codeOf("E")]).toEqual([
    "E",
    "",
    "",
    "",
    "",
  ]);
});

test("options that Node refuses are told by its code alone", () => {
  const thrownBy = (error: unknown): unknown => {
    try {
      return begin(() => {
        throw error;
      });
    } catch (thrown) {
      return thrown;
    }
  };
  expect(begin(() => 5)).toBe(5);
  const refused = thrownBy(failure("ERR_INVALID_ARG_TYPE")) as Error;
  expect(refused).toMatchObject({
    code: "ERR_INVALID_ARGUMENT",
    message: "tls or connection options refused: ERR_INVALID_ARG_TYPE",
  });
  expect(refused.cause, "which may quote one").toBeUndefined();
  expect(thrownBy(failure("ERR_ACCESS_DENIED"))).toMatchObject({ code: "ERR_UNREACHABLE", retryable: false });
  const ours = new HubwireError("ERR_TIMEOUT", "late");
  expect(thrownBy(ours)).toBe(ours);
});
