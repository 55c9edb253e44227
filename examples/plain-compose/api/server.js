// A small HTTP API over PostgreSQL and Redis. Settings come from the environment:
// DATABASE_URL, REDIS_URL and LISTEN_ADDR (host:port).
//   GET /        { "message": the first note, "visits": how often this was asked }
//   GET /notes   every note · POST /notes { "text": … } adds one · GET /health 200 once both databases answer
import { createServer } from 'node:http';
import { createPostgres } from './postgres.js';
import { createRedis } from './redis.js';

const { DATABASE_URL, REDIS_URL, LISTEN_ADDR = '0.0.0.0:8080' } = process.env;
if (!DATABASE_URL || !REDIS_URL) throw new Error('DATABASE_URL and REDIS_URL must be set');

const RETRY_MS = 500;
const MAX_BODY_BYTES = 65_536;
const postgres = createPostgres(DATABASE_URL);
const redis = createRedis(REDIS_URL);
let ready = false;

const routes = {
  'GET /': async () => {
    const [note] = await postgres.query('SELECT text FROM notes ORDER BY id LIMIT 1');
    return [200, { message: note?.text ?? null, visits: await redis.command('INCR', 'visits') }];
  },
  'GET /notes': async () => [200, await postgres.query('SELECT id, text FROM notes ORDER BY id')],
  'POST /notes': async (request) => {
    const { text } = await readJson(request);
    if (typeof text !== 'string' || text === '') return [400, { error: 'a note needs a "text"' }];
    const [note] = await postgres.query('INSERT INTO notes (text) VALUES ($1) RETURNING id, text', [text]);
    return [201, note];
  },
  'GET /health': async () => {
    await Promise.all([postgres.query('SELECT 1'), redis.command('PING')]);
    return ready ? [200, { status: 'ok' }] : [503, { status: 'starting' }];
  },
};

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request).catch(failureAnswer);
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body)}\n`);
});

async function answer(request) {
  const path = request.url.split('?')[0];
  const route = routes[`${request.method} ${path}`];
  if (route) return route(request);
  const known = Object.keys(routes).some((name) => name.endsWith(` ${path}`));
  return known ? [405, { error: `${request.method} is not for ${path}` }] : [404, { error: `there is no ${path}` }];
}

function failureAnswer(error) {
  if (error instanceof SyntaxError) return [400, { error: 'the body is not JSON' }];
  if (error.code?.startsWith('22')) return [400, { error: error.message }]; // PostgreSQL: data exception
  if (error.tooLarge) return [413, { error: `a body has at most ${MAX_BODY_BYTES} bytes` }];
  console.error(`request failed: ${error.message}`);
  return [503, { error: error.message }];
}

async function readJson(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw Object.assign(new Error('body too large'), { tooLarge: true });
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) ?? {};
}

/** The databases may still be starting: try until they answer. */
async function prepareDatabase() {
  for (let said; ; ) {
    try {
      await postgres.query('CREATE TABLE IF NOT EXISTS notes (id serial PRIMARY KEY, text text NOT NULL)');
      await postgres.query(
        "INSERT INTO notes (text) SELECT 'Hello from PostgreSQL' WHERE NOT EXISTS (SELECT FROM notes)",
      );
      await redis.command('PING');
      return;
    } catch (error) {
      if (error.message !== said) console.log(`waiting for the databases: ${error.message}`);
      said = error.message;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** Requests under way are answered first, for a few seconds at most. */
function stop() {
  server.close(() => {
    postgres.close();
    redis.close();
    process.exit(0);
  });
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 5000);
}

const { hostname, port } = new URL(`http://${LISTEN_ADDR}`);
server.listen({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) }, () => {
  console.log(`listening on ${LISTEN_ADDR}`);
});
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
await prepareDatabase();
ready = true;
console.log('ready');
