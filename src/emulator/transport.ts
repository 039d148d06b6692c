/** What a link writes to and is fed from: a socket, or the other end of a pair. */
import type { X509Certificate } from "node:crypto";

/** The byte stream under a link. */
export interface Transport {
  /** What the client proved at the TLS handshake. */
  readonly certificate: X509Certificate | undefined;
  write(chunks: readonly Uint8Array[]): void;
  /** Sends what was written, then closes. */
  end(): void;
  destroy(): void;
  /** Stops or goes on delivering what the peer sends. */
  setReading(on: boolean): void;
}
