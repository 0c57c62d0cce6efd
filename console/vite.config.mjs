// How the console is bundled, and a server for working on it: `npx vite console` in the root of the project serves it with the API of
// the broker on port 7070, or of WEIR_URL.
import { defineConfig } from 'vite';

const broker = process.env.WEIR_URL ?? 'http://localhost:7070';
const proxied = { target: broker, ws: true, changeOrigin: true, headers: { origin: broker } };

export default defineConfig({
  // Relative, so that it works behind a proxy that adds a prefix to the path.
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: { proxy: { '/v1': proxied, '/health': proxied } },
  build: {
    target: 'es2022',
    emptyOutDir: true,
    // No inline data: the page's policy is simpler, and each file is cached by itself.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
