// Calls the MCP server as a user's program would, and prints what came back.
//
//   client.mjs URL legacy|auto|sdk           every kind of call, one after the other and at once
//   client.mjs URL legacy|auto|sdk endless   one call that reports its progress and never ends
//
// `sdk` is the package of before 2026-07-28, which most programs still have.
const [url, mode, calls] = process.argv.slice(2);
const old = mode === 'sdk';
const { Client } = await import(old ? '@modelcontextprotocol/sdk/client/index.js' : '@modelcontextprotocol/client');
const { StreamableHTTPClientTransport } = await import(
  old ? '@modelcontextprotocol/sdk/client/streamableHttp.js' : '@modelcontextprotocol/client');

const methods = new Set();
const recorded = (input, init) => {
  methods.add(init?.method ?? 'GET');
  return fetch(input, init);
};
const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: recorded });
const client = new Client({ name: 'test', version: '1.0.0' }, { versionNegotiation: { mode } });
await client.connect(transport);

const show = (...values) => console.log(values.join(' '));
const refused = call => call.then(() => 'accepted', error => error.code);
const tool = (name, args, options) =>
  old
    ? client.callTool({ name, arguments: args }, undefined, options)
    : client.callTool({ name, arguments: args }, options);

async function count(to) {
  const steps = [];
  const onprogress = ({ progress, total }) => steps.push(`${progress}/${total}`);
  const counted = await tool('count', { to, pause: 5 }, { onprogress });
  return [...steps, counted.content[0].text];
}

async function everyKindOfCall() {
  show('version', old ? transport.protocolVersion : client.getNegotiatedProtocolVersion());
  show('server', client.getServerVersion().name, client.getServerVersion().version);
  for (const { name, inputSchema } of (await client.listTools()).tools) {
    show('tool', name, ...Object.keys(inputSchema.properties).sort());
  }
  for (const { uri } of (await client.listResources()).resources) show('resource', uri);
  for (const { name, arguments: args } of (await client.listPrompts()).prompts) {
    show('prompt', name, ...args.map(argument => argument.name));
  }

  show('add', (await tool('add', { a: 2, b: 40 })).structuredContent.sum);
  const failed = await tool('add', { a: 2 ** 31 - 1, b: 1 });
  show('add', failed.isError ? 'failed' : 'did not fail', failed.content[0].text);
  show('no such tool', await refused(tool('subtract', {})));
  show('count', ...(await count(3)));
  const atOnce = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(count));
  atOnce.forEach((counted, number) => show('at once', number, ...counted));
  show('read', (await client.readResource({ uri: 'counter://running' })).contents[0].text);
  show('no such resource', await refused(client.readResource({ uri: 'counter://none' })));
  show('greet', (await client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } })).messages[0].content.text);
}

if (calls === 'endless') {
  await tool('count', { to: 10 ** 9, pause: 5 }, { onprogress: ({ progress }) => show('step', progress) });
} else {
  await everyKindOfCall();
}
await transport.terminateSession();
await client.close();
show('methods', ...[...methods].sort());
