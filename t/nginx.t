#!/usr/bin/perl
# What nginx itself decides: which lane, which server, what it refuses, and that each of its errors is a problem+json like
# the service's own.
use Test2::V0;
use lib 't/lib';
use Battlepass::Stack;

my $s = Battlepass::Stack->shared;
my ($tls_port) = $s->tls_url =~ /:(\d+)$/;

# A raw answer in parts; the first one, if several came.
sub parsed {
    my ($text) = @_;
    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    my ($status) = ($head // '') =~ m{^HTTP/1\.1 (\d+)};
    my %headers = map { /^([^:]+): (.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head // '';
    return { status => $status, headers => \%headers, json => eval { JSON::PP::decode_json($body) }, body => $body };
}

sub is_problem {
    my ($answer, $status, $code, $name) = @_;
    is($answer->{status}, $status, "$name: status");
    is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: content type");
    is($answer->{json}, hash {
        field type => "urn:battlepass:problem:$code";
        field title => T;
        field status => $status;
        field code => $code;
        field detail => T;
        field instance => $answer->{headers}{'x-request-id'};
        end;
    }, "$name: problem");
    is($answer->{headers}{'x-content-type-options'}, 'nosniff', "$name: nosniff");
    is($answer->{headers}{server}, 'nginx', "$name: no version");
    return;
}

subtest 'requests that HTTP does not allow' => sub {
    my $long = 'a' x 40_000;
    my @cases = (
        ['no request line', "GARBAGE\r\n\r\n", 400, 'bad_request'],
        ['no host', "GET / HTTP/1.1\r\n\r\n", 400, 'bad_request'],
        ['two hosts', "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, 'bad_request'],
        ['NUL in the path', "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, 'bad_request'],
        ['out of the root', "GET /..%2f..%2fetc HTTP/1.1\r\nHost: a\r\n\r\n", 400, 'bad_request'],
        ['broken escape', "GET /v1/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, 'bad_request'],
        ['negative length', "POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", 400, 'bad_request'],
        ['two lengths', "POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, 'bad_request'],
        ['length and chunked', "POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400, 'bad_request'],
        ['unknown coding', "POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, 'not_implemented'],
        ['TRACE', "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, 'method_not_allowed'],
        ['long path', "GET /$long HTTP/1.1\r\nHost: a\r\n\r\n", 414, 'uri_too_long'],
        ['long header', "GET / HTTP/1.1\r\nHost: a\r\nX: $long\r\n\r\n", 431, 'headers_too_large'],
        ['HTTP/3.0', "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, 'http_version_not_supported'],
    );
    for my $case (@cases) {
        my ($name, $bytes, $status, $code) = @$case;
        is_problem(parsed($s->raw($bytes, quiet_s => 0.3)), $status, $code, $name);
    }
    like(parsed($s->raw("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", quiet_s => 0.3))->{headers}{allow}, qr/GET/, 'TRACE: Allow');
    is_problem(parsed($s->raw("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", base => $s->tls_url, quiet_s => 0.3)), 400, 'bad_request',
        'plain HTTP on the TLS port');
};

subtest 'paths that are not there' => sub {
    is_problem($s->get($_), 404, 'no_such_route', $_)
        for '/', '/metrics', '/readyz', '//metrics', '/v1/../metrics', '/%6detrics', '/.problem', '/v2/seasons';
    is($s->get($_)->{status}, 404, "$_: no redirect") for '/v1', '/v1/admin';
    is_problem($s->get_internal($_), 404, 'no_such_route', "loopback $_") for '/', '/v1/seasons', '/.problem';
    my ($nginx, $service) = map { $s->get($_)->{json} } '/nowhere', '/v1/nowhere';
    delete $_->{instance} for $nginx, $service;
    is($nginx, $service, 'nginx and the service say the same');
    is($s->get_internal($_)->{status}, 200, "loopback $_") for '/metrics', '/readyz', '/livez';
    is($s->get('/livez')->{status}, 200, 'public /livez');
};

subtest 'the body limit' => sub {
    my $path = '/v1/seasons/' . $s->season . '/xp-grants';
    my $over = 'x' x (1024 * 1024 + 1);
    is_problem($s->post($path, {}, $over), 413, 'body_too_large', 'length known');
    is_problem($s->request_at($s->tls_url, 'POST', $path, {}, $over), 413, 'body_too_large', 'TLS');
    my $chunked = sprintf "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", $path, length $over, $over;
    is_problem(parsed($s->raw($chunked)), 413, 'body_too_large', 'chunked');
    isnt($s->post($path, {}, substr $over, 1)->{status}, 413, '1 MiB is not too large');
};

subtest 'a body where none belongs leaves the connection whole' => sub {
    my $forged = "GET /v1/forged HTTP/1.1\r\nHost: a\r\n\r\n";
    for my $path ('/livez', '/v1/seasons/' . $s->season . '/players/p-1/progress', '/v1/seasons/' . $s->season) {
        my $length = length $forged;
        my $text = $s->raw("GET $path HTTP/1.1\r\nHost: a\r\nContent-Length: $length\r\n\r\n$forged"
            . "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        my @statuses = $text =~ m{HTTP/1\.1 (\d+)}g;
        is(scalar @statuses, 2, "$path: two answers to two requests");
        is($statuses[1], 200, "$path: the second is /livez");
    }
};

subtest 'request ids' => sub {
    for my $path ('/livez', '/nowhere', '/v1/nowhere') {
        is($s->get($path, { 'X-Request-Id' => 'Abc-1._' })->{headers}{'x-request-id'}, 'Abc-1._', "$path: the client's own");
        for my $bad ('a b', 'a"b', 'x' x 129, '{}') {
            like($s->get($path, { 'X-Request-Id' => $bad })->{headers}{'x-request-id'}, qr/^(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/, "$path: not '$bad'");
        }
    }
};

subtest 'TLS and HTTP/2' => sub {
    my $curl = sub { return qx(curl --silent --cacert $s->{env}{BATTLEPASS_CA} --output /dev/null @_) };
    is($curl->("--http2 --write-out '%{http_version} %{http_code}' " . $s->tls_url . '/livez'), '2 200', 'HTTP/2');
    is($curl->("--http1.1 --write-out '%{http_version} %{http_code}' " . $s->tls_url . '/livez'), '1.1 200', 'HTTP/1.1');
    is($curl->("--tlsv1.0 --tls-max 1.1 --write-out '%{http_code}' " . $s->tls_url . '/livez'), '000', 'nothing older than TLS 1.2');
    like($s->request_at($s->tls_url, 'GET', '/livez')->{headers}{'strict-transport-security'}, qr/max-age/, 'HSTS on TLS');
    is($s->get('/livez')->{headers}{'strict-transport-security'}, undef, 'and not on plain HTTP');
};

subtest 'no lane answers' => sub {
    my $private = Battlepass::Stack->new;
    $private->stop('battlepassd');
    my $player = '/v1/seasons/' . $private->season . '/players/p-1';
    for my $call (['GET', "$player/progress"], ['POST', "$player/xp-grants", '{}'], ['GET', '/v1/admin/flags'], ['GET', '/livez']) {
        my ($method, $path, $body) = @$call;
        my $answer = $private->request($method, $path, {}, $body);
        is_problem($answer, 503, 'overloaded', "$method $path");
        is($answer->{headers}{'retry-after'}, 1, "$method $path: Retry-After");
    }
    $private->start('battlepassd');
    is($private->get('/livez')->{status}, 200, 'and when the daemon is back');
};

done_testing;
