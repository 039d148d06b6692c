/**
 * A module of IoT Edge: who it is, from the environment, and tokens that the Edge security daemon signs.
 *
 * Invariant: the module holds no key; each token is signed by the daemon's workload API, over its unix socket or HTTP.
 */
import { invalid } from "../check.js";
import type { Clock } from "../clock.js";
import { HubwireError } from "../errors.js";
import { parseConnectionString } from "../wire/connection-string.js";
import type { DeviceOptions } from "./credentials.js";
import { sasRequest, sasScope } from "../wire/sas.js";

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
    throw invalid(`IOTEDGE_${name} is not set: does this run in an IoT Edge module?`);
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
  // Loaded by modules of IoT Edge alone: HTTP is as large as all else together.
  const ask = async (path: string, body?: object): Promise<Record<string, unknown>> =>
    (await import("./workload.js")).askWorkload(workload, path, body);
  const sign = `/modules/${encodeURIComponent(identity.moduleId)}/genid/${generation}/sign${version}`;
  return {
    ...identity,
    sas: async () => {
      const expiry = Math.ceil((clock.wallTime() + tokenLifetime) / 1000);
      const { text, token } = sasRequest(sasScope(identity), expiry);
      const data = Buffer.from(text).toString("base64");
      const { digest } = await ask(sign, { keyId: "primary", algo: "HMACSHA256", data });
      return token(answered(digest, "digest"));
    },
    ca: async () => {
      const { certificate } = await ask(`/trust-bundle${version}`);
      return answered(certificate, "certificate");
    },
  };
}

function answered(value: unknown, what: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new HubwireError("ERR_SIGNING", `the IoT Edge workload API answered without a ${what}`);
}
