// Node's own server as in its documentation.
const http = require('node:http');
http.createServer((request, response) => {
  if (request.method !== 'POST') {
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': 13 });
    response.end('Hello, World!');
    return;
  }
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const body = Buffer.concat(pieces);
    response.writeHead(200, { 'content-length': body.length });
    response.end(body);
  });
}).listen(Number(process.argv[2] ?? 9000), '0.0.0.0', 4096);
