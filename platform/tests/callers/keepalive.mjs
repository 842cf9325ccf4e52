// A keep-alive agent with few sockets sends bodies of all sizes, with a length and in chunks. Prints what went wrong.
import http from 'node:http';

const [host, port] = process.argv[2].split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
const sizes = [0, 100, 70_000, 300_000];
const failures = [];
const sockets = new Set();

const send = (number) => new Promise((done) => {
  const size = sizes[number % sizes.length];
  const isChunked = number % 3 === 0;
  const headers = isChunked ? {} : { 'content-length': size };
  const request = http.request({ host, port, method: 'POST', path: '/', agent, headers }, (response) => {
    let text = '';
    response.on('data', (piece) => { text += piece; });
    response.on('end', () => {
      const length = response.statusCode === 200 && JSON.parse(text).length;
      if (length !== size) failures.push(`${number}: ${response.statusCode}, ${length} of ${size}`);
      done();
    });
  });
  request.on('socket', (socket) => sockets.add(socket));
  request.on('error', (error) => { failures.push(`${number}: ${error.code}`); done(); });
  if (isChunked) request.flushHeaders();
  request.end(Buffer.alloc(size));
});

const chain = async (first) => { for (let number = first; number < 200; number += 2) await send(number); };
await Promise.all([chain(0), chain(1)]);
console.log(`${failures.length} failures, ${sockets.size} sockets ${failures.join(' ')}`);
process.exit();
