#!/usr/bin/env node
// configuration.mjs <application>: prints the settings as a line of JSON, and again at each transaction that changes them
import { readFileSync } from 'node:fs';

const { WEIR_URL = 'http://localhost:7070', WEIR_TOKEN = '' } = process.env;
const weir = `${WEIR_URL.split(',')[0]}/v1`;
const token = WEIR_TOKEN.startsWith('@') ? readFileSync(WEIR_TOKEN.slice(1), 'utf8').split('\n')[0] : WEIR_TOKEN;
const authorization = token && { authorization: `Bearer ${token}` };
const application = process.argv[2];
if (!application) {
  console.error('usage: configuration.mjs <application>');
  process.exit(1);
}
const root = `/settings/${application}`;
/** Bookmarks come every 10 s at most: who has heard nothing for longer has lost the connection. */
const inactivityMsMax = 20_000;
const retryMs = 300;

class Compacted extends Error {}

async function get(target) {
  const response = await fetch(weir + target, {
    headers: { ...authorization },
    signal: AbortSignal.timeout(inactivityMsMax),
  });
  if (!response.ok && response.status !== 404) throw new Error(`${target}: ${await response.text()}`);
  return response;
}

/** All settings as they were at one zxid: whoever sees anything newer than the list of keys reads again. */
async function snapshot() {
  for (;;) {
    const list = await get(`/nodes${root}?view=children&limit=10000`);
    const zxid = Number(list.headers.get('weir-zxid'));
    const { children = [] } = await list.json();
    const settings = {};
    let isWhole = true;
    for (const key of children) {
      const node = await get(`/nodes${root}/${encodeURIComponent(key)}`);
      isWhole &&= node.ok && JSON.parse(node.headers.get('weir-stat')).mzxid <= zxid;
      settings[key] = await node.text();
    }
    if (isWhole) return { zxid, settings };
  }
}

/** The messages after `zxid`, from a stream of server-sent events: its blocks are separated by an empty line. */
async function* messagesAfter(zxid) {
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), inactivityMsMax);
  };
  try {
    heard();
    const response = await fetch(`${weir}/watch${root}?mode=recursive&data=true`, {
      headers: { 'last-event-id': String(zxid), ...authorization },
      signal: silence.signal,
    });
    if (response.status === 410) throw new Compacted();
    if (!response.ok) throw new Error(await response.text());
    let text = '';
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      heard();
      const blocks = (text + chunk).split('\n\n');
      text = blocks.pop();
      for (const block of blocks) {
        const message = JSON.parse(/^data: (.*)$/m.exec(block)[1]);
        if (message.code === 'COMPACTED') throw new Compacted();
        if (message.type === 'error') throw new Error(message.detail);
        yield message;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

async function apply(settings, { type, path, data, encoding, truncated }) {
  const key = path.slice(root.length + 1);
  if (key === '' || key.includes('/')) return;
  if (type === 'deleted') {
    delete settings[key];
  } else if (truncated) {
    const node = await get(`/nodes${root}/${encodeURIComponent(key)}`);
    if (node.ok) settings[key] = await node.text();
  } else {
    settings[key] = encoding === 'base64' ? Buffer.from(data, 'base64').toString() : data;
  }
}

let state;
for (;;) {
  try {
    if (!state) {
      state = await snapshot();
      console.log(JSON.stringify(state));
    }
    for await (const { type, zxid, events } of messagesAfter(state.zxid)) {
      if (type === 'events') {
        for (const event of events) await apply(state.settings, event);
        console.log(JSON.stringify({ ...state, zxid }));
      }
      // Kept together with the settings: after a broken connection the stream goes on from here.
      state.zxid = zxid;
    }
  } catch (error) {
    // The history since then is not kept any more: begin again with all settings.
    if (error instanceof Compacted) state = undefined;
    else console.error(`configuration.mjs: ${error.message}; trying again`);
  }
  await new Promise((resolve) => setTimeout(resolve, retryMs));
}
