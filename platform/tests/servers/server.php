<?php
// The page's PHP example: one process, all sockets in one select, with a switch for each mistake that people make.
function setting(string $name, string $otherwise): string
{
    $value = getenv($name);
    return $value === false || $value === '' ? $otherwise : $value;
}

if (setting('EXIT', '') !== '') {
    fwrite(STDOUT, "nothing to serve\n");
    exit((int) setting('EXIT', ''));
}
fwrite(STDOUT, "starting\n");
usleep((int) (1e6 * (float) setting('DELAY', '0')));
$host = setting('HOST', '0.0.0.0');
$port = setting('OTHER_PORT', setting('FC_CUSTOM_LISTEN_PORT', '9000'));
$keepAlive = (float) setting('KEEP_ALIVE', '0');
$context = stream_context_create(['socket' => ['backlog' => 1024]]);
$flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;
$listener = stream_socket_server("tcp://$host:$port", $code, $message, $flags, $context);
if ($listener === false) {
    fwrite(STDOUT, "cannot listen: $message\n");
    exit(1);
}
fwrite(STDOUT, "listening on $host:$port\n");

$sockets = [];
$buffers = [];
$used = [];

function finish(int $id): void
{
    global $sockets, $buffers, $used;
    fclose($sockets[$id]);
    unset($sockets[$id], $buffers[$id], $used[$id]);
}

/** Answers every whole request that has arrived. */
function serve(int $id): void
{
    global $sockets, $buffers;
    while (($end = strpos($buffers[$id], "\r\n\r\n")) !== false) {
        $head = substr($buffers[$id], 0, $end);
        $length = preg_match('/^content-length:\s*(\d+)/mi', $head, $found) ? (int) $found[1] : 0;
        if (strlen($buffers[$id]) < $end + 4 + $length) {
            return;
        }
        $buffers[$id] = substr($buffers[$id], $end + 4 + $length);
        $parts = explode(' ', strtok($head, "\r\n"));
        if (count($parts) !== 3) {
            finish($id);
            return;
        }
        $text = "$parts[0] $parts[1]\n";
        $body = $parts[0] === 'HEAD' ? '' : $text;
        fwrite($sockets[$id], "HTTP/1.1 200 OK\r\nContent-Length: " . strlen($text) . "\r\n\r\n" . $body);
    }
}

while (true) {
    $readable = array_merge([$listener], $sockets);
    $writable = $except = null;
    stream_select($readable, $writable, $except, 0, 200000);
    foreach ($readable as $socket) {
        if ($socket === $listener) {
            $new = @stream_socket_accept($listener, 0);
            if ($new !== false) {
                stream_set_blocking($new, true);
                $sockets[(int) $new] = $new;
                $buffers[(int) $new] = '';
                $used[(int) $new] = microtime(true);
            }
            continue;
        }
        $id = (int) $socket;
        $piece = @fread($socket, 1 << 20);
        if ($piece === false || $piece === '') {
            finish($id);
            continue;
        }
        $buffers[$id] .= $piece;
        $used[$id] = microtime(true);
        serve($id);
    }
    if ($keepAlive > 0) {
        foreach ($used as $id => $at) {
            if (microtime(true) - $at > $keepAlive) {
                finish($id);
            }
        }
    }
}
