/**
 * A static server for this machine's own browsers: no framework, no caching, and the two headers
 * that make a page cross-origin isolated, so that shared memory and fine timers are there.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, sep } from 'node:path';

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.webp': 'image/webp',
};

/**
 * Serves folders and files on the loopback address.
 *
 * @param routes URL path -> folder (path ends with a slash) or file. The longest that fits is taken.
 * @param port the port wanted; 0 lets the system choose.
 * @returns the address without a slash at its end, and a function that ends the server.
 * @throws the system's error, EADDRINUSE for instance, when the port cannot be had.
 */
export async function serve(routes, port = 0) {
  const prefixes = Object.keys(routes).sort((a, b) => b.length - a.length);
  const server = createServer(async (request, response) => {
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Cache-Control', 'no-cache');
    const file = await find(request.url ?? '/');
    if (!file || !['GET', 'HEAD'].includes(request.method ?? '')) {
      response.writeHead(file ? 405 : 404, { 'Content-Type': 'text/plain' });
      response.end(file ? 'only GET\n' : 'not here\n');
      return;
    }
    response.setHeader('Content-Type', TYPES[extname(file.path)] ?? 'application/octet-stream');
    response.setHeader('Content-Length', file.size);
    if (request.method === 'HEAD') response.end();
    else
      createReadStream(file.path)
        .on('error', () => response.destroy())
        .pipe(response);
  });

  async function find(url) {
    let path;
    try {
      path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
    } catch {
      return undefined;
    }
    const prefix = prefixes.find(one => (one.endsWith('/') ? path.startsWith(one) : path === one));
    if (prefix === undefined || path.includes('\0')) return undefined;
    const root = routes[prefix];
    let file = prefix.endsWith('/') ? join(root, path.slice(prefix.length)) : root;
    if (file !== root && !file.startsWith(root.endsWith(sep) ? root : root + sep)) return undefined;
    if (path.endsWith('/')) file = join(file, 'index.html');
    const about = await stat(file).catch(() => undefined);
    return about?.isFile() ? { path: file, size: about.size } : undefined;
  }

  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://localhost:${server.address().port}`,
    async close() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
}
