#!/usr/bin/env node
// consumer.mjs <group> <topic>[,<topic>...]: reads topics as a member of a group over one WebSocket, and prints each record's value
//
// The socket is the member: its heartbeats, partitions, records and commits all go over this connection. Start the program
// several times with the same group, and the members share the partitions. The code runs in a browser as well; a page of
// another origin than the broker's needs WEIR_CORS_ORIGINS on the server.
const { WEIR_URL: weir = 'http://localhost:7070', WEIR_TOKEN: token } = process.env;
const [group, topics] = process.argv.slice(2);
if (!group || !topics) {
  console.error('usage: consumer.mjs <group> <topic>[,<topic>...]');
  process.exit(2);
}
/** Browsers and Node 22 have it; on Node 20 the package ws takes its place. */
const Socket = globalThis.WebSocket ?? (await import('ws')).default;
/** Most records that the server may send before we have asked for more. */
const creditRecords = 1000;
const retryMs = 500;

/** A member that comes back under its id keeps its partitions. A web page would keep the id in sessionStorage. */
const memberId = crypto.randomUUID();

function consume() {
  // A browser can set no header of a WebSocket: the token is a subprotocol.
  const protocols = token ? ['weir.v1', `weir.bearer.${token}`] : ['weir.v1'];
  const query = new URLSearchParams({ topics, memberId, reset: 'earliest' });
  const socket = new Socket(`${weir.replace(/^http/, 'ws')}/v1/groups/${group}/stream?${query}`, protocols);
  const send = (frame) => socket.send(JSON.stringify(frame));
  /** Which assignment our frames are about: a late commit must not count for a partition that was assigned again since. */
  let epoch;

  socket.onopen = () => send({ type: 'credit', records: creditRecords });
  socket.onmessage = ({ data }) => {
    const { type, topic, partition, records, nextOffset, memberEpoch } = JSON.parse(data);
    epoch = memberEpoch ?? epoch;
    // Another member gets these partitions. All their records are processed, so they can be released at once.
    if (type === 'revoking') send({ type: 'released', memberEpoch });
    if (type !== 'records') return;
    for (const { value } of records) console.log(typeof value === 'string' ? value : JSON.stringify(value));
    send({ type: 'commit', memberEpoch: epoch, offsets: [{ topic, partition, offset: nextOffset }] });
    send({ type: 'credit', records: records.length });
  };
  socket.onerror = () => {}; // onclose follows
  socket.onclose = ({ code, reason }) => {
    // From 4400 to 4499 the request is wrong, or another connection is this member now. After these codes a new join helps.
    const mayJoin = ['UNKNOWN_MEMBER', 'FENCED_MEMBER_EPOCH', 'TOO_MANY_REQUESTS'].includes(reason);
    if (code >= 4400 && code < 4500 && !mayJoin) {
      console.error(`The server closed the connection: ${reason}`);
      process.exit(1);
    }
    setTimeout(consume, retryMs);
  };
}

consume();
