// Requests of the Kafka REST dialect, as its clients send them.
import { type HttpResponse, http } from './server.ts';

export const kafka = 'application/vnd.kafka.v2+json';
export const kafkaJson = 'application/vnd.kafka.json.v2+json';
export const kafkaBinary = 'application/vnd.kafka.binary.v2+json';

/** Sends a body as a client of the dialect does. */
export function kafkaPost(url: string, body?: unknown, type = kafka, headers = {}): Promise<HttpResponse> {
  const text = typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body);
  return http(url, 'POST', text, { ...(text !== undefined && { 'content-type': type }), accept: kafka, ...headers });
}

/** The error of a response, as a status and the code of the dialect. */
export function errorOf({ status, body }: HttpResponse): [status: number, code: number] {
  return [status, body.error_code];
}
