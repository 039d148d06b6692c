/**
 * A module of IoT Edge: who it is, from the environment, and tokens that the Edge security daemon signs.
 *
 * Invariant: the module holds no key; each token is signed by the daemon's workload API, over its unix socket or HTTP.
 */
import type { Clock } from "../client/clock.js";
import { HubwireError } from "../errors.js";
import { parseConnectionString } from "./connection-string.js";
import type { DeviceOptions } from "./credentials.js";
import { sasRequest, sasScope } from "./sas.js";

/** ms for an answer of the workload API. */
const WORKLOAD_TIMEOUT = 10_000;
const WORKLOAD_MAX_BYTES = 1024 * 1024;

const signingError = (message: string): HubwireError =>
  new HubwireError("ERR_SIGNING", `the IoT Edge workload API ${message}`);

/** The module's identity. Throws ERR_INVALID_ARGUMENT, which names a variable that is missing. */
export function edgeIdentity(
  environment: Record<string, string | undefined>,
  clock: Clock,
  tokenLifetime = 3_600_000,
): DeviceOptions {
  const simulated = environment["EdgeHubConnectionString"];
  if (simulated) {
    const file = environment["EdgeModuleCACertificateFile"];
    const ca = async (): Promise<string> => (await import("node:fs/promises")).readFile(file as string, "utf8");
    return { ...parseConnectionString(simulated), ...(file && { ca }) };
  }
  const variable = (name: string): string => {
    const value = environment[`IOTEDGE_${name}`];
    if (value) return value;
    throw new HubwireError("ERR_INVALID_ARGUMENT", `IOTEDGE_${name} is not set: does this run in an IoT Edge module?`);
  };
  const identity = {
    hostName: variable("IOTHUBHOSTNAME"),
    deviceId: variable("DEVICEID"),
    moduleId: variable("MODULEID"),
    gatewayHostName: variable("GATEWAYHOSTNAME"),
  };
  const workload = variable("WORKLOADURI");
  const version = `?api-version=${environment["IOTEDGE_APIVERSION"] || "2019-01-30"}`;
  const generation = encodeURIComponent(variable("MODULEGENERATIONID"));
  const sign = `/modules/${encodeURIComponent(identity.moduleId)}/genid/${generation}/sign${version}`;
  return {
    ...identity,
    sas: async () => {
      const expiry = Math.ceil((clock.wallTime() + tokenLifetime) / 1000);
      const { text, token } = sasRequest(sasScope(identity), expiry);
      const data = Buffer.from(text).toString("base64");
      const { digest } = await askWorkload(workload, sign, { keyId: "primary", algo: "HMACSHA256", data });
      if (typeof digest !== "string" || digest === "") throw signingError("answered without a digest");
      return token(digest);
    },
    ca: async () => {
      const { certificate } = await askWorkload(workload, `/trust-bundle${version}`);
      if (typeof certificate !== "string") throw signingError("answered without a certificate");
      return certificate;
    },
  };
}

/** One request; POST where there is a body. */
async function askWorkload(workloadUri: string, path: string, body?: object): Promise<Record<string, unknown>> {
  // Loaded by modules of IoT Edge alone: HTTP is as large as all else together.
  const { request } = await import("node:http");
  const { protocol, hostname, port, pathname } = new URL(workloadUri);
  const where = protocol === "unix:" ? { socketPath: pathname } : { hostname, port };
  const json = body && JSON.stringify(body);
  const text = await new Promise<string>((resolve, reject) => {
    const failed = (error: Error & { code?: string }): void =>
      reject(error instanceof HubwireError ? error : signingError(`cannot be reached (${error.code ?? error.name})`));
    const call = request(
      {
        ...where,
        path,
        method: json ? "POST" : "GET",
        headers: json ? { "content-type": "application/json", "content-length": Buffer.byteLength(json) } : {},
        timeout: WORKLOAD_TIMEOUT,
      },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          chunks.push(chunk);
          if ((size += chunk.length) > WORKLOAD_MAX_BYTES) call.destroy(signingError("answered too much"));
        });
        response.on("error", failed);
        response.on("end", () => {
          if (response.statusCode === 200) resolve(Buffer.concat(chunks).toString());
          else reject(signingError(`answered with status ${response.statusCode}`));
        });
      },
    );
    call.on("timeout", () => call.destroy(signingError(`did not answer within ${WORKLOAD_TIMEOUT} ms`)));
    call.on("error", failed);
    call.end(json);
  });
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    throw signingError("answered with something that is not JSON");
  }
}
