/** MQTT 3.1.1 packets to bytes and back (`hubwire/codec`). */
export { HubwireError, type ErrorCode } from "../errors.js";
export { MAX_PACKET_SIZE } from "./fault.js";
export { checkPacket, checkPublish, checkSendable, publishSize } from "./check.js";
export { checkTopicFilter, checkTopicName, matchTopic } from "./topics.js";
export { Decoder, PacketReader, decode, type DecoderOptions } from "./framing.js";
export { PacketWriter, encode } from "./writer.js";
export type * from "./types.js";
