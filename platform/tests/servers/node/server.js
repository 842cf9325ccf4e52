// The page's Node example with Express, with a switch for each mistake that people make.
const express = require('express');

const HOST = process.env.HOST || '0.0.0.0';
const PORT = parseInt(process.env.OTHER_PORT || process.env.FC_CUSTOM_LISTEN_PORT || '9000', 10);

if (process.env.EXIT) {
  console.log('nothing to serve');
  process.exit(parseInt(process.env.EXIT, 10));
}

const app = express();
app.use(express.raw({ type: () => true, limit: '33mb' }));
app.use((request, response) => {
  response.send(`${request.method} ${request.originalUrl}\n`);
});

console.log('starting');
setTimeout(() => {
  const server = app.listen(PORT, HOST, () => console.log(`listening on ${HOST}:${PORT}`));
  if (process.env.KEEP_ALIVE) {
    server.keepAliveTimeout = parseFloat(process.env.KEEP_ALIVE) * 1000;
  } else {
    server.timeout = 0; // never timeout
    server.keepAliveTimeout = 0; // keep-alive, never timeout
  }
}, parseFloat(process.env.DELAY || '0') * 1000);
