/** Requests to the workload API of the IoT Edge security daemon, over its unix socket or HTTP. */
import { request } from "node:http";
import { HubwireError } from "../errors.js";

/** ms for an answer of the workload API. */
const WORKLOAD_TIMEOUT = 10_000;
const WORKLOAD_MAX_BYTES = 1024 * 1024;

const signingError = (message: string): HubwireError =>
  new HubwireError("ERR_SIGNING", `the IoT Edge workload API ${message}`);

/** One request; POST where there is a body. */
export async function askWorkload(workloadUri: string, path: string, body?: object): Promise<Record<string, unknown>> {
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
