// A collector that takes spans by OTLP/HTTP as JSON and says what it got, a line each:
//
//   span {...}      a span, its attributes as an object, that of its resource in "resource"
//   invalid TEXT    a body that is no ExportTraceServiceRequest of OpenTelemetry's own schema
//   request {...}   the request's path and header fields, and when it had come ("at_ms", since this program began)
//
// otlp_collector.js PORT [ANSWER...]    the first requests are answered so: a status, STATUS/SECONDS with that
//                                       Retry-After, 200/rejects-N with so many spans rejected, or hang; 200 is what
//                                       all later ones get
'use strict';
const assert = require('assert');
const http = require('http');
const root = require('@opentelemetry/otlp-transformer/build/src/generated/root');

const Request = root.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
const [port, ...answers] = process.argv.slice(2);

// In OTLP's JSON ids are hexadecimal, in that of protobuf all bytes are base64.
function withBase64Ids(span) {
  const converted = { ...span };
  for (const [name, size] of [['traceId', 16], ['spanId', 8], ['parentSpanId', 8]]) {
    if (!(name in span)) continue;
    assert.match(span[name], new RegExp(`^[0-9a-f]{${2 * size}}$`), name);
    converted[name] = Buffer.from(span[name], 'hex').toString('base64');
  }
  return converted;
}

// The body as protobuf and back again: a field that the schema does not have, or of another type, is not the same.
function check(body) {
  const wanted = structuredClone(body);
  for (const resource of wanted.resourceSpans)
    for (const scope of resource.scopeSpans) scope.spans = scope.spans.map(withBase64Ids);
  const bytes = Request.encode(Request.fromObject(wanted)).finish();
  const read = Request.toObject(Request.decode(bytes), { longs: String, bytes: String });
  assert.deepStrictEqual(JSON.parse(JSON.stringify(read)), wanted);
}

function plain(attributes) {
  return Object.fromEntries(attributes.map(({ key, value }) => {
    const [kind, content] = Object.entries(value)[0];
    return [key, kind === 'intValue' ? Number(content) : content];
  }));
}

function take(text) {
  const body = JSON.parse(text);
  check(body);
  for (const { resource, scopeSpans } of body.resourceSpans)
    for (const { scope, spans } of scopeSpans)
      for (const span of spans)
        console.log('span ' + JSON.stringify({ ...span, attributes: plain(span.attributes),
                                               resource: plain(resource.attributes), scope }));
}

http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    console.log('request ' + JSON.stringify({ path: request.url, method: request.method, headers: request.headers,
                                              at_ms: performance.now() }));
    const answer = answers.shift() || '200';
    if (answer === 'hang') return;
    const [status, more] = answer.split('/');
    const [, rejected] = (more || '').split('rejects-');
    const wait = rejected ? undefined : more;
    if (status === '200') {
      try {
        take(Buffer.concat(pieces).toString('utf8'));
      } catch (error) {
        console.log('invalid ' + JSON.stringify(String(error)));
      }
    }
    response.writeHead(Number(status), { 'content-type': 'application/json',
                                         ...(wait ? { 'retry-after': wait } : {}) });
    response.end(rejected ? JSON.stringify({ partialSuccess: { rejectedSpans: rejected } }) : '{}');
  });
}).listen(Number(port), '127.0.0.1');
