/**
 * Whether a CONNECT may speak for a device or module: user name, SAS token or client certificate.
 *
 * Invariants: the reason of a refusal never holds a key, signature or token; nothing of the device changes
 * until every check has passed. A CONNECT whose credentials are in order but whose will is not is a
 * violation. Clocks may differ by `limits.clockSkew` ("time drift", five minutes).
 */
import type { ConnectPacket } from "../codec/index.js";
import { decodeProperties } from "../wire/property-bag.js";
import { parseSasToken, sasScope, verifySasToken } from "../wire/sas.js";
import type { Device } from "./device.js";
import type { ConnectedEvent, HubContext } from "./events.js";
import type { Link, Verdict } from "./link.js";
import { certificateObjection, type Policy, type Registry } from "./registry.js";
import { checkWill } from "./telemetry.js";
import type { Proof } from "./uplink.js";

/** Return codes of CONNACK (section 3.2.2.3). */
export const IDENTIFIER_REJECTED = 2;
export const BAD_USERNAME_OR_PASSWORD = 4;
export const NOT_AUTHORIZED = 5;

/**
 * The versions of the hub's device API that exist: of the pages, the REST reference and the SDKs. Any other is refused
 * (400001 InvalidProtocolVersion).
 */
const API_VERSIONS: ReadonlySet<string> = new Set([
  "2016-02-03",
  "2016-11-14",
  "2017-06-30",
  "2017-11-08-preview",
  "2018-04-01",
  "2018-06-30",
  "2018-08-30-preview",
  "2019-03-30",
  "2019-07-01-preview",
  "2019-10-01",
  "2020-03-13",
  "2020-05-31-preview",
  "2020-09-30",
  "2021-04-12",
  "2021-06-30-preview",
]);

export interface Admission {
  readonly context: HubContext;
  readonly registry: Registry<Device>;
  readonly policies: ReadonlyMap<string, Policy>;
  /** Host names, in lower case, by which devices may call the hub. */
  readonly hostNames: ReadonlySet<string>;
}

const refusal = (returnCode: number, reason: string): Verdict => ({ returnCode, reason });
const notAuthorized = (reason: string): Verdict => refusal(NOT_AUTHORIZED, reason);

/**
 * Checks a CONNECT of a device or module and attaches it. Throws HubwireError, a violation, for a bad will.
 */
export function admitDevice(admission: Admission, link: Link, connect: ConnectPacket): Verdict {
  const { clientId } = connect;
  if (clientId === "") return refusal(IDENTIFIER_REJECTED, "the client identifier must be the device id");
  const name = parseUsername(connect.username ?? "", clientId);
  if (typeof name === "string") return refusal(BAD_USERNAME_OR_PASSWORD, name);
  if (!admission.hostNames.has(name.hostName.toLowerCase())) return notAuthorized("the user name names another hub");
  const [deviceId = "", moduleId, ...rest] = clientId.split("/");
  const device = rest.length === 0 ? admission.registry.find(deviceId, moduleId) : undefined;
  if (device === undefined) return notAuthorized(`there is no identity ${clientId}`);
  if (!device.enabled || admission.registry.find(deviceId)?.enabled === false) {
    return notAuthorized(`${clientId} is disabled`);
  }
  const proof =
    connect.password === undefined
      ? proveByCertificate(admission, link, device)
      : proveByToken(admission, device, name.hostName, Buffer.from(connect.password).toString("utf8"));
  if (typeof proof === "string") return notAuthorized(proof);
  const { limits } = admission.context;
  if (connect.will !== undefined) checkWill(connect.will, device.deviceId, device.moduleId, limits.telemetryBytes);
  const sessionPresent = device.attach(link, connect, proof, name.details);
  return { endpoint: device, sessionPresent, expiry: proof.expiry };
}

/** Reads `{hostName}/{clientId}[/?api-version=…]`; returns what is wrong with it as a string. */
function parseUsername(
  username: string,
  clientId: string,
): { hostName: string; details: Partial<ConnectedEvent> } | string {
  const slash = username.indexOf("/");
  if (slash <= 0) return "the user name must be {hostName}/{clientId}/?api-version=…";
  const hostName = username.slice(0, slash);
  const rest = username.slice(slash + 1);
  if (!rest.startsWith(clientId)) return "the user name and the client identifier name different identities";
  const query = rest.slice(clientId.length);
  // The form of 2016, which old hubs still take.
  if (query === "" || query === "/") return { hostName, details: {} };
  if (!query.startsWith("/")) return "the user name and the client identifier name different identities";
  const parameters = decodeProperties(query.slice(1));
  const apiVersion = parameters.get("api-version");
  if (typeof apiVersion !== "string") return "the user name has no api-version of the form 2021-04-12";
  if (!API_VERSIONS.has(apiVersion)) return "the user name's api-version does not exist; 2021-04-12 is the newest";
  const details: Partial<ConnectedEvent> = { apiVersion };
  const modelId = parameters.get("model-id");
  const productInfo = parameters.get("DeviceClientType");
  if (typeof modelId === "string") details.modelId = modelId;
  if (typeof productInfo === "string") details.productInfo = productInfo;
  return { hostName, details };
}

/** Who was proved, and when (ms since the epoch) the connection ends with the proof; or what is wrong with it. */
type Result = (Proof & { expiry: number }) | string;

const ownScope = ({ moduleId }: Device): Proof["scope"] => (moduleId === undefined ? "device" : "module");

/** What the hub's clock says, where a fault moves it. */
const wallTime = ({ context }: Admission, device: Device): number =>
  context.clock.wallTime() + device.faults.get("clockOffset");

function proveByCertificate(admission: Admission, link: Link, device: Device): Result {
  if (device.authentication.type === "symmetric") return "there is no password, and the identity has keys";
  if (link.certificate === undefined) return "there is neither a password nor a client certificate";
  const objection = certificateObjection(
    link.certificate,
    device.authentication,
    device.deviceId,
    wallTime(admission, device),
  );
  return objection ?? { scope: ownScope(device), type: "x509", expiry: Infinity };
}

const REFUSALS = {
  malformed: "the password is not a SAS token",
  scope: "the SAS token is for another resource",
  signature: "the SAS token's signature is wrong: another key, or a policy without DeviceConnect",
  expired: "the SAS token has expired",
};

function proveByToken(admission: Admission, device: Device, hostName: string, token: string): Result {
  const { deviceId, moduleId, authentication } = device;
  const { clockSkew } = admission.context.limits;
  const refused = verifySasToken(token, {
    scope: sasScope({ hostName, deviceId, moduleId }),
    now: wallTime(admission, device) - clockSkew,
    keys: (keyName) => {
      if (keyName === undefined) {
        return authentication.type === "symmetric" ? [authentication.primaryKey, authentication.secondaryKey] : [];
      }
      const policy = admission.policies.get(keyName);
      return policy?.deviceConnect === true ? [policy.primaryKey] : [];
    },
  });
  if (refused !== undefined) return REFUSALS[refused];
  const { expiry, keyName } = parseSasToken(token);
  const scope = keyName === undefined ? ownScope(device) : "hub";
  return { scope, type: "sas", expiry: expiry * 1000 + clockSkew };
}
