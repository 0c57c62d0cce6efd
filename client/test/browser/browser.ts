// A headless Chromium with the client in its pages: CHROMIUM_PATH, or where Debian has it.
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Browser, launch, type Page } from 'puppeteer-core';
import type { Test } from 'tap';
import { projectRoot } from '../../../src/config/config.ts';
import { temporaryFolder } from '../../../testbed/scope.ts';

const html = '<!doctype html><title>Client</title><script type="module" src="/client-under-test/page.js"></script>';

/** What a page has as `globalThis.client`: everything that the package exports. */
const entry = `
import * as core from './client/src/index.ts';
import * as recipes from './client/src/recipes/index.ts';
globalThis.client = { ...core, ...recipes };
`;

/** The program, or why the tests cannot be run here. */
export function findChromium(): { program: string } | { missing: string } {
  const program = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
  if (existsSync(program)) return { program };
  return { missing: `${program} does not exist; apt-get install chromium, or set CHROMIUM_PATH` };
}

/** Ends with the test. */
export async function startChromium(t: Test, program: string): Promise<Browser> {
  const browser = await launch({
    executablePath: program,
    userDataDir: temporaryFolder(t),
    // Its sandbox does not work for root.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
    protocolTimeout: 120_000,
  });
  t.teardown(() => browser.close());
  return browser;
}

/** The files of the client, by path, as a bundler makes them for a page. */
export async function bundleClient(): Promise<Map<string, string>> {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: projectRoot(), sourcefile: 'page.ts' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    outdir: 'client-under-test',
    entryNames: 'page',
    write: false,
    logLevel: 'silent',
  });
  return new Map(
    outputFiles.map(({ path, text }) => [path.slice(join(projectRoot(), '').length).replace(/^\/?/, '/'), text]),
  );
}

/** An origin of its own that has nothing but the page. @returns its URL */
export async function startPageServer(t: Test, files: Map<string, string>): Promise<string> {
  const server = createServer(({ url = '' }, response) => {
    const found = url === '/' ? html : files.get(url);
    const type = url === '/' ? 'text/html' : 'text/javascript';
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(found);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A new tab that shows the page at `origin`, with the client loaded. */
export async function openPage(browser: Browser, origin: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(`${origin}/`);
  await loaded(page);
  return page;
}

/** A new tab with the page in the origin of a server, which has no such page: the browser puts it there. */
export async function openPageOfServer(browser: Browser, url: string, files: Map<string, string>): Promise<Page> {
  const page = await browser.newPage();
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    const body = pathname === '/' ? html : files.get(pathname);
    const contentType = pathname === '/' ? 'text/html' : 'text/javascript';
    void (body === undefined ? request.continue() : request.respond({ body, contentType }));
  });
  await page.goto(`${url}/`);
  await loaded(page);
  return page;
}

/** Waits until the script of the page has run. */
export async function loaded(page: Page): Promise<void> {
  await page.waitForFunction('globalThis.client !== undefined');
}
