#!/usr/bin/perl
# What bad input gets: bodies, tokens, paths, headers, FastCGI records and values planted in Redis that nobody honest sends. The service
# must refuse or answer rightly, change nothing by what it refuses, and serve the next one unharmed.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Digest::SHA qw(hmac_sha256);
use IO::Socket::INET;
use MIME::Base64 qw(encode_base64url);
use Time::HiRes qw(sleep time);

# Its own stack: some of this turns the cache off for a while.
# A process that a broken peer holds for some seconds must answer then: what waited meanwhile is not refused here.
my $s = Battlepass::Stack->new(config => "read_lane { answer_within_ms = 20000 }\nstore_lane { answer_within_ms = 20000 }\n");
my $season = $s->season;
my $base = "/v1/seasons/$season";
my $json = JSON::PP->new->utf8->canonical->allow_nonref;
$SIG{PIPE} = 'IGNORE';

ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');
my $deaths = $s->metrics->{battlepass_process_deaths_total};
$s->redis(SET => 'sentinel', 'still here');

# One of several statuses, a problem if an error, and no row changed.
sub refused {
    my ($name, $statuses, $code) = @_;
    my $rows = fingerprint($s);
    my $answer = $code->();
    my $ok = ok((grep { $answer->{status} == $_ } @$statuses), "$name: refused with @$statuses");
    $ok &&= is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: a problem");
    $ok &&= is($answer->{json}, hash { field status => $answer->{status}; field code => T; field instance => $answer->{headers}{'x-request-id'}; etc }, "$name: its members");
    diag("$name: $answer->{status} " . substr $answer->{body}, 0, 500) unless $ok;
    is(fingerprint($s), $rows, "$name: nothing changed");
    return $answer;
}

sub raw_grant {
    my ($player, $text, %headers) = @_;
    return api($s, 'POST', "$base/players/$player/xp-grants", { $s->as('server'), 'Idempotency-Key' => fresh_key(), %headers }, $text);
}

my @fragments = (
    "'; DROP TABLE progress; -- ", "' OR '1'='1", '" OR ""="', "\\' OR 1=1 -- ", "x' UNION SELECT 1,2,3 -- ", '1; SELECT SLEEP(5)', '/*!50000 SELECT */', '`', '%', '_%', "\\",
    "\r\nFLUSHALL\r\n", "*1\r\n\$8\r\nFLUSHALL\r\n", "\$-1\r\n", "x\nV9.9\ny\n{}", '{x}:s1', '}', "\x{1F4A9}", "\x{202E}", "\x{7f}", "\t", '../../etc/passwd', '%00', '%s%n%x', '${7*7}', '<script>', ' ', 'a b',
);

# --- bodies ---

subtest 'JSON that is none, or not for us' => sub {
    my $player = $s->fresh_player;
    my %bodies = (
        'truncated in a name' => '{"amo', 'truncated in a text' => '{"amount":5,"source":"ma', 'truncated in an escape' => '{"amount":5,"source":"\u00',
        'truncated after a colon' => '{"amount":', 'a lone brace' => '}', 'closed twice' => '{"amount":5,"source":"m"}}', 'NUL byte' => "{\"amount\":5,\"source\":\"m\0\"}",
        'NUL after it' => "{\"amount\":5,\"source\":\"m\"}\0", 'escaped NUL' => '{"amount":5,"source":"m\u0000x"}', 'escaped NUL in a name' => '{"amount":5,"source":"m","a\u0000":1}',
        'NUL hides a member' => '{"amount":5,"source":"m","source\u0000":"n"}', 'lone surrogate' => '{"amount":5,"source":"\ud800"}', 'surrogates turned round' => '{"amount":5,"source":"\udc00\ud800"}',
        'bad UTF-8' => "{\"amount\":5,\"source\":\"\xff\"}", 'overlong UTF-8' => "{\"amount\":5,\"source\":\"\xc0\xaf\"}", 'a surrogate in UTF-8' => "{\"amount\":5,\"source\":\"\xed\xa0\x80\"}",
        'truncated UTF-8' => "{\"amount\":5,\"source\":\"\xe2\x82\"}", 'beyond Unicode' => "{\"amount\":5,\"source\":\"\xf4\x90\x80\x80\"}", 'bad UTF-8 in a name' => "{\"amount\":5,\"source\":\"m\",\"\xff\":1}",
        'UTF-16' => "\xff\xfe{\0}\0", 'a raw line break' => "{\"amount\":5,\"source\":\"a\nb\"}", 'amount twice' => '{"amount":5,"amount":6,"source":"m"}',
        'the same name by an escape' => '{"amount":5,"\u0061mount":6,"source":"m"}', 'deep arrays' => '[' x 100_000, 'deep and closed' => ('[' x 10_000) . (']' x 10_000),
        'deep objects' => '{"a":' x 50_000, 'deep in a field' => '{"amount":5,"source":"m","tags":' . ('[' x 5000) . (']' x 5000) . '}', 'a mebibyte of brackets' => '[' x (1024 * 1024),
        'a mebibyte of quotes' => '"' x (1024 * 1024), 'a mebibyte of backslashes' => '"' . '\\' x (1024 * 1024 - 1), 'a mebibyte of digits' => '1' x (1024 * 1024),
        'very many members' => '{' . join(',', map { "\"m$_\":1" } 1 .. 60_000) . '}', 'very many elements' => '{"amount":5,"source":"m","tags":[' . join(',', ('"t"') x 100_000) . ']}',
    );
    for my $name (sort keys %bodies) {
        my $begin = time;
        refused($name, [400], sub { raw_grant($player, $bodies{$name}) });
        ok(time - $begin < 2, "$name: in time") or diag(sprintf '%.1f s', time - $begin);
        refused("batch: $name", [400], sub { api($s, 'POST', "$base/xp-grants", { $s->as('server') }, $bodies{$name}) }) if length $bodies{$name} < 100_000;
        refused("lookup: $name", [400], sub { api($s, 'POST', "$base/progress:lookup", { $s->as('server') }, $bodies{$name}) }) if length $bodies{$name} < 100_000;
    }
};

subtest 'numbers' => sub {
    my $player = $s->fresh_player;
    my @bad = qw(0 -0 -1 -1000000000 0.5 1.5 1.0000001 1000000001 1e10 1e400 -1e400 1e-400 2147483648 4294967297 9223372036854775807 9223372036854775808
        18446744073709551616 18446744073709551621 340282366920938463463374607431768211457 99999999999999999999999999999999999999 0.1e1.0 1e 1. .5 0x10 1_000 Infinity -Infinity NaN "5" true null [5] {"a":5});
    refused("amount $_", [400], sub { raw_grant($player, "{\"amount\":$_,\"source\":\"m\"}") }) for @bad;
    refused('a thousand digits', [400], sub { raw_grant($player, '{"amount":' . '9' x 1000 . ',"source":"m"}') });
    refused('a thousand places', [400], sub { raw_grant($player, '{"amount":1.' . '0' x 999 . '1,"source":"m"}') });
    # The same whole number in other words: refused, or taken for what it is.
    for my $case (['1e2', 100], ['100.0', 100], ['1E+2', 100], ['1000000000', 1_000_000_000], ['0.01e2', 1]) {
        my ($text, $value) = @$case;
        my $answer = raw_grant($s->fresh_player, "{\"amount\":$text,\"source\":\"m\"}");
        ok($answer->{status} == 400 || $answer->{status} == 201 && $answer->{json}{amount} == $value, "$text is $value or refused") or diag($answer->{body});
    }
    my $results = api($s, 'POST', "$base/xp-grants", { $s->as('server') },
        '{"grants":[' . join(',', map { "{\"player\":\"$player\",\"amount\":$_,\"source\":\"m\",\"idempotency_key\":\"n$_\"}" } grep { /^-?[\d.e]+$/ && !/e$|\.$|^\.|0\.1e1/ } @bad) . ']}')->{json}{results};
    is([ grep { $_->{status} ne 'rejected' } @$results ], [], 'each is rejected in a batch') and ok(@$results > 10, 'and there were some');
    is(progress($s, $player)->{json}{revision}, '0', 'nothing was granted');
};

subtest 'the total stays below 10^15' => sub {
    my $player = $s->fresh_player;
    $s->db->do('INSERT INTO progress (player_id, season_id, xp, revision, updated_at_ms) VALUES (?, ?, ?, 1, 1)', undef, $player, $season, 10**15 - 10);
    my $answer = refused('beyond', [400, 409, 422], sub { grant($s, $player, 10) });
    is($answer->{json}{errors}[0]{pointer}, '/amount', 'points at the amount');
    refused('far beyond', [400, 409, 422], sub { grant($s, $player, 1_000_000_000) });
    my $results = batch($s, [ map { { player => $player, amount => $_, source => 'm', idempotency_key => fresh_key() } } 10, 4, 6, 5, 1 ])->{json}{results};
    is([ map { $_->{status} } @$results ], [qw(rejected granted rejected granted rejected)], 'in a batch each entry for itself');
    my $json = progress($s, $player)->{json};
    is($json->{xp}, 10**15 - 1, 'the largest total');
    like(progress($s, $player)->{body}, qr/"xp":999999999999999,/, 'written out');
    refused('one more', [400, 409, 422], sub { grant($s, $player, 1) });
};

subtest 'unknown fields' => sub {
    my $player = $s->fresh_player;
    my %good = (amount => 5, source => 'm');
    for my $name ('xp', 'AMOUNT', 'amount ', '', '__proto__', 'a' x 10_000, @fragments) {
        my $text = $json->encode({ %good, $name => 1 });
        my $answer = refused('field ' . substr($name, 0, 20) =~ s/[^ -~]/?/gr, [400], sub { raw_grant($player, $text) });
        is($answer->{json}{code}, 'unknown_field', 'by its code');
    }
};

subtest 'too much' => sub {
    my $player = $s->fresh_player;
    my $over = '{"amount":5,"source":"m"}' . ' ' x (1024 * 1024);
    is(refused("$_: 1 MiB and more", [413], sub { api($s, 'POST', $_, { $s->as('server'), 'Idempotency-Key' => 'k' }, $over) })->{json}{code}, 'body_too_large', $_)
        for "$base/players/$player/xp-grants", "$base/xp-grants", "$base/progress:lookup";
    my $head = "POST $base/players/$player/xp-grants HTTP/1.1\r\nHost: a\r\n";
    like($s->raw("${head}Content-Length: 99999999999\r\n\r\n", quiet_s => 0.3), qr{^HTTP/1\.1 413 }, 'a length of 100 GB');
    like($s->raw("${head}Content-Length: 999999999999999999999999\r\n\r\n", quiet_s => 0.3), qr{^HTTP/1\.1 4(00|13) }, 'a length beyond numbers');
    my @entries = map { { player => $player, amount => 1, source => 'm', idempotency_key => "o$_" } } 1 .. 501;
    is(refused('501 grants', [400], sub { batch($s, \@entries) })->{json}{errors}[0]{pointer}, '/grants', 'points at the grants');
    is(progress($s, $player)->{json}{revision}, '0', 'none was made');
};

# --- a body where none belongs, over HTTP ---

subtest 'bodies where none belong, and the next request on the connection' => sub {
    my ($player, $other) = map { $s->fresh_player } 1 .. 2;
    grant($s, $player, 11);
    grant($s, $other, 22);
    my %auth = $s->as('server');
    my %bodies = (
        'a request' => http_text('GET', '/v1/forged', { %auth, 'X-Request-Id' => 'forged' }),
        'JSON' => '{"amount":5}', 'a large one' => 'x' x 300_000, 'just under a mebibyte' => "GET /v1/forged HTTP/1.1\r\nHost: a\r\n\r\n" x 25_000,
        'FastCGI' => fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => '/v1/forged', REQUEST_ID => 'forged' }) x 50,
    );
    my %calls = (
        'GET progress' => ['GET', "$base/players/$player/progress", 200], 'HEAD progress' => ['HEAD', "$base/players/$player/progress", 200],
        'GET definition' => ['GET', $base, 200], 'GET list' => ['GET', '/v1/seasons', 200], 'GET ledger' => ['GET', "$base/players/$player/xp-grants", 200],
        'GET livez' => ['GET', '/livez', 200], 'DELETE progress' => ['DELETE', "$base/players/$player/progress", 405], 'GET nothing' => ['GET', '/v1/nothing', 404],
        'no token' => ['GET', "$base/players/$player/progress", 401], 'POST livez' => ['POST', '/livez', 405],
    );
    for my $name (sort keys %calls) {
        my ($method, $path, $status) = @{ $calls{$name} };
        for my $kind (sort keys %bodies) {
            for my $coding ('length', 'chunked') {
                my $socket = http_connect($s);
                my %headers = ($name eq 'no token' ? () : %auth, 'X-Request-Id' => 'first');
                my $body = $bodies{$kind};
                my $text = $coding eq 'length'
                    ? http_text($method, $path, \%headers, $body)
                    : http_text($method, $path, { %headers, 'Transfer-Encoding' => 'chunked' }) . sprintf "%x\r\n%s\r\n0\r\n\r\n", length $body, $body;
                print {$socket} $text, http_text('GET', "$base/players/$other/progress", { %auth, 'X-Request-Id' => 'second' });
                $socket->flush;
                my @answers = (http_read($socket, 5, $method eq 'HEAD'), http_read($socket, 5));
                is($answers[0]{status}, $status, "$name, $kind, $coding: answered");
                # A connection may be closed after it; it must not answer something else.
                if ($answers[1]) {
                    is([ @{ $answers[1] }{qw(status)}, $answers[1]{headers}{'x-request-id'}, $answers[1]{json}{player} ], [ 200, 'second', $other ], "$name, $kind, $coding: the next");
                } else {
                    like($answers[0]{headers}{connection}, qr/close/, "$name, $kind, $coding: closed, and said so");
                }
            }
        }
    }
};

# --- FastCGI ---

my %auth_param = do { my %headers = $s->as('server'); (HTTP_AUTHORIZATION => $headers{Authorization}) };

sub livez {
    my ($id, %more) = @_;
    return fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => '/livez', REQUEST_ID => $id, %more }, keep => 1);
}

# A fresh connection to the lane is served at once; so is one by way of nginx.
sub served {
    my ($name, $lane) = @_;
    my $begin = time;
    my $socket = fcgi_connect($s, $lane);
    print {$socket} livez('served');
    $socket->flush;
    my $answer = fcgi_read($socket, 3);
    my $seconds = time - $begin;
    my $ok = ok($answer && $answer->{status} == 200 && $seconds < 1, "$name: the $lane lane serves the next") or diag(sprintf '%s after %.2f s', $answer ? 'answered' : 'no answer', $seconds);
    return $ok;
}

subtest 'FastCGI: a kept connection' => sub {
    my @players = map { $s->fresh_player } 1 .. 3;
    grant($s, $players[$_], 10 + $_) for 0 .. 2;
    progress($s, $_) for @players;
    my $socket = fcgi_connect($s, 'read');
    for my $round (1 .. 60) {
        my $player = $players[$round % 3];
        my $id = 1 + $round % 7;
        print {$socket} fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => "$base/players/$player/progress", REQUEST_ID => "kept-$round", %auth_param }, keep => 1, id => $id);
        $socket->flush;
        my $answer = fcgi_read($socket);
        my @got = $answer ? (@$answer{qw(status id)}, $answer->{headers}{'x-request-id'}, $answer->{json}{player}) : ();
        is(\@got, [ 200, $id, "kept-$round", $player ], "request $round") or last;
    }
    # Without keep the lane closes.
    print {$socket} fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => '/livez' });
    $socket->flush;
    is(fcgi_read($socket)->{status}, 200, 'a last one');
    is(sysread($socket, my $rest, 1), 0, 'after which the lane closes');
};

subtest 'FastCGI: a body that forges requests' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 33);
    progress($s, $player);
    my $forged = fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => '/livez', REQUEST_ID => 'forged' }, keep => 1);
    my %bodies = (
        'one' => $forged, 'many' => $forged x 200, 'after a buffer' => 'x' x 8192 . $forged x 10, 'after two' => 'x' x 16_384 . $forged x 10,
        'every alignment' => join('', map { 'x' x $_ . $forged } 0 .. 9) x 30, 'after a record' => 'x' x 65_000 . $forged x 3, 'large' => $forged x 4000,
    );
    my %paths = ('/livez' => 200, "$base/players/$player/progress" => 200, '/v1/nothing' => 404, "$base/players/$player/progress?x=%zz" => undef);
    for my $lane ('read', 'store', 'admin') {
        for my $path (sort keys %paths) {
            for my $kind (sort keys %bodies) {
                for my $length ('true', 'none', 'short') {
                    my $body = $bodies{$kind};
                    my %length = $length eq 'none' ? () : (CONTENT_LENGTH => $length eq 'true' ? length $body : 1);
                    my $socket = fcgi_connect($s, $lane);
                    print {$socket} fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => $path, REQUEST_ID => 'real', %auth_param, %length }, keep => 1, body => $body);
                    $socket->flush;
                    my @ids;
                    while (my $answer = fcgi_read($socket, 2)) {
                        # A lane that does not have the route hands the request on; that is an answer, too.
                        push @ids, $answer->{headers}{'x-accel-redirect'} ? 'real' : $answer->{headers}{'x-request-id'} // 'unnamed';
                        last if $ids[-1] eq 'next' || @ids > 3;
                        # As nginx does: the next request goes out when the first is answered, and only if the lane did not close.
                        print {$socket} livez('next');
                        $socket->flush;
                    }
                    # Whose length is a lie may be turned away without a word.
                    my $silent = $length eq 'short' && "@ids" eq '';
                    ok("@ids" eq 'real' || "@ids" eq 'real next' || $silent, "$lane $path, $kind, length $length: nothing forged") or diag("@ids");
                }
            }
        }
        served('forged bodies', $lane);
    }
};

subtest 'FastCGI: records that are none' => sub {
    my $begin = fcgi_record(BEGIN_REQUEST => pack 'nCx5', 1, 1);
    my $params = fcgi_record(PARAMS => fcgi_params(REQUEST_METHOD => 'GET', REQUEST_URI => '/livez', REQUEST_ID => 'odd'));
    my $ends = fcgi_record(PARAMS => '') . fcgi_record(STDIN => '');
    my %garbage = (
        'noise' => join('', map { chr int rand 256 } 1 .. 5000), 'zeros' => "\0" x 5000, 'ones' => "\xff" x 5000, 'HTTP' => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        'another version' => pack('CCnnCC', 9, 1, 1, 8, 0, 0) . "\0\1\0\0\0\0\0\0", 'no begin' => $params . $ends, 'begun twice' => $begin x 5 . $params . $ends,
        'unknown type' => $begin . fcgi_record(200, 'x') . $params . $ends, 'type 0' => fcgi_record(0, ''), 'id 0' => fcgi_record(PARAMS => 'x', 0) . $begin . $params . $ends,
        'values asked' => fcgi_record(9, fcgi_params(FCGI_MAX_CONNS => '', FCGI_MAX_REQS => ''), 0), 'aborted' => $begin . $params . fcgi_record(ABORT_REQUEST => ''),
        'authorizer' => fcgi_record(BEGIN_REQUEST => pack 'nCx5', 2, 1) . $params . $ends, 'filter' => fcgi_record(BEGIN_REQUEST => pack 'nCx5', 3, 1) . $params . $ends,
        'role 999' => fcgi_record(BEGIN_REQUEST => pack 'nCx5', 999, 1) . $params . $ends, 'begin too short' => fcgi_record(BEGIN_REQUEST => "\0") . $params . $ends,
        'another id' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_URI => '/livez'), 2) . fcgi_record(PARAMS => '', 2) . fcgi_record(STDIN => '', 2),
        'no params' => $begin . $ends, 'no method' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_URI => '/livez')) . $ends,
        'no path' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_METHOD => 'GET')) . $ends, 'name longer than all' => $begin . fcgi_record(PARAMS => "\xff\xff\xff\xff\xff\xff\xff\xffx") . $ends,
        'value longer than all' => $begin . fcgi_record(PARAMS => "\x01\x7fa") . $ends, 'a length cut' => $begin . fcgi_record(PARAMS => "\xff") . $ends,
        'params of 2 GiB' => $begin . fcgi_record(PARAMS => "\x01" . pack('N', 0xffff_ffff) . 'a' . 'x' x 60_000) . $ends,
        'ten thousand params' => $begin . join('', map { fcgi_record(PARAMS => fcgi_params(map { ("P$_" => 'x') } ($_ * 500 .. $_ * 500 + 499))) } 1 .. 20) . $params . $ends,
        'a large param' => $begin . fcgi_record(PARAMS => fcgi_params(HTTP_AUTHORIZATION => 'x' x 60_000)) . $params . $ends,
        'a method of NUL' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_METHOD => "GET\0", REQUEST_URI => "/livez\0x")) . $ends,
        'a length of text' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_METHOD => 'POST', REQUEST_URI => "$base/xp-grants", CONTENT_LENGTH => 'many')) . $ends,
        'a negative length' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_METHOD => 'POST', REQUEST_URI => "$base/xp-grants", CONTENT_LENGTH => '-1', %auth_param)) . $ends,
        'a huge length' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_METHOD => 'POST', REQUEST_URI => "$base/xp-grants", CONTENT_LENGTH => '9' x 30, %auth_param)) . $ends,
        'a length longer than the body' => $begin . fcgi_record(PARAMS => fcgi_params(REQUEST_METHOD => 'POST', REQUEST_URI => "$base/xp-grants", CONTENT_LENGTH => 100, %auth_param)) . fcgi_record(PARAMS => '')
            . fcgi_record(STDIN => '{}') . fcgi_record(STDIN => ''),
    );
    my $rows = fingerprint($s);
    for my $lane ('read', 'store', 'admin') {
        for my $name (sort keys %garbage) {
            my $socket = fcgi_connect($s, $lane);
            print {$socket} $garbage{$name};
            $socket->flush;
            shutdown $socket, 1;
            fcgi_read($socket, 0.3);
            close $socket;
        }
        served("garbage of $_ kinds", $lane) for scalar keys %garbage;
    }
    is(fingerprint($s), $rows, 'nothing changed');
    is($s->get('/livez')->{status}, 200, 'and nginx is answered');
};

subtest 'FastCGI: half a record, and gone' => sub {
    my $whole = fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => "$base/players/p-1/progress", REQUEST_ID => 'half', %auth_param }, keep => 1);
    my $grant = fcgi_request({ REQUEST_METHOD => 'POST', REQUEST_URI => "$base/players/half-1/xp-grants", REQUEST_ID => 'half', %auth_param, HTTP_IDEMPOTENCY_KEY => 'half',
        CONTENT_TYPE => 'application/json', CONTENT_LENGTH => 25 }, body => '{"amount":5,"source":"m"}');
    my $rows = fingerprint($s);
    for my $case (['read', $whole], ['store', $grant]) {
        my ($lane, $text) = @$case;
        # The last 8 bytes say no more than that the body, whose length is known, has ended.
        for my $cut (1, 4, 7, 8, 12, 16, 20, 40, length($text) - 40, length($text) - 30, length($text) - 10, length($text) - 9) {
            my $socket = fcgi_connect($s, $lane);
            print {$socket} substr $text, 0, $cut;
            $socket->flush;
            close $socket;
        }
        served('cut requests', $lane);
    }
    is(fingerprint($s), $rows, 'no half of a grant took effect');
    # A whole one whose sender does not wait for the answer.
    for (1 .. 50) {
        my $socket = fcgi_connect($s, 'read');
        print {$socket} $whole;
        $socket->flush;
        close $socket;
    }
    served('gone before the answer', 'read');
};

# What a client of that lane waits at most six seconds for, by way of nginx.
sub asked {
    my ($lane, $player) = @_;
    my $socket = $lane eq 'admin' ? IO::Socket::INET->new(PeerAddr => $s->metrics_url =~ s{^http://}{}r) : http_connect($s);
    my %auth = $s->as('server');
    print {$socket} $lane eq 'admin' ? http_text('GET', '/readyz', {})
        : $lane eq 'read' ? http_text('GET', "$base/players/$player/progress", \%auth)
        : http_text('POST', "$base/players/$player/xp-grants", { %auth, 'Idempotency-Key' => fresh_key(), 'Content-Type' => 'application/json' }, '{"amount":1,"source":"m"}');
    $socket->flush;
    return http_read($socket, 6);
}

subtest 'FastCGI: a hundred connections that say nothing' => sub {
    my $player = $s->fresh_player;
    for my $case (['read', ''], ['read', "\1\1"], ['store', ''], ['store', "\1\1\0\1"], ['admin', '']) {
        my ($lane, $start) = @$case;
        # Who says nothing costs nothing. Who stops in the middle of a record holds one process for a few seconds: two until we
        # give up, and two in libfcgi's close. Only nginx and its group reach these sockets.
        my ($count, $promptly) = length $start ? (1, 5) : (100, 1);
        my @idle = map { my $socket = fcgi_connect($s, $lane); print {$socket} $start; $socket->flush; $socket } 1 .. $count;
        my ($slowest, $bad) = (0, 0);
        for (1 .. 25) {
            my $begin = time;
            my $answer = asked($lane, $player);
            $bad++ if !$answer || $answer->{status} >= 300;
            $slowest = time - $begin if time - $begin > $slowest;
            last if $slowest > 2;
        }
        my $name = length $start ? 'half a header' : 'nothing';
        is($bad, 0, "$lane, $name: every request is answered");
        ok($slowest < $promptly, "$lane, $name: promptly") or diag(sprintf 'slowest %.2f s', $slowest);
        close $_ for @idle;
        ok($s->wait_until(10, sub { asked($lane, $player) }), "$lane, $name: and when they have gone");
    }
};

# --- tokens ---

sub jwt {
    my ($header, $claims, $signature) = @_;
    return join '.', encode_base64url(ref $header ? $json->encode($header) : $header), encode_base64url(ref $claims ? $json->encode($claims) : $claims), $signature;
}

sub hs256 {
    my ($header, $claims, $secret) = @_;
    my $text = jwt($header, $claims, '') =~ s/\.\z//r;
    return "$text." . encode_base64url(hmac_sha256($text, $secret));
}

subtest 'tokens that must not be taken' => sub {
    my $player = $s->fresh_player;
    my $now = int time;
    my %claims = (iss => 'battlepass', aud => 'battlepass', role => 'admin', sub => 'mallory', iat => $now, exp => $now + 3600);
    my $good = $s->token('viewer', 'v-1');
    my ($header, $payload, $signature) = split /\./, $good;
    my $kid = $s->dev_key->{kid};
    my ($status, $text) = $s->ctl('key', 'generate', '--algorithm', 'ES256', '--private', $s->dir . '/other.json', '--set', $s->dir . '/other-set.json');
    is($status, 0, 'another key') or diag($text);
    my $other = do { open my $in, '<', $s->dir . '/other.json' or die $!; local $/ = undef; $json->decode(scalar <$in>) };
    my $public = do { my %key = %{ $s->dev_key }; delete $key{d}; \%key };
    my $set_text = do { open my $in, '<', $s->dir . '/keys/set.json' or die $!; local $/ = undef; scalar <$in> };
    my %tokens = (
        'alg none' => jwt({ alg => 'none', typ => 'JWT' }, \%claims, ''), 'alg None' => jwt({ alg => 'None' }, \%claims, ''), 'alg none with kid' => jwt({ alg => 'none', kid => $kid }, \%claims, ''),
        'alg none, old signature' => jwt({ alg => 'none', kid => $kid }, \%claims, $signature), 'no alg' => jwt({ kid => $kid }, \%claims, $signature), 'alg a list' => jwt({ alg => ['ES256'], kid => $kid }, \%claims, $signature),
        'another payload' => join('.', $header, encode_base64url($json->encode(\%claims)), $signature), 'no signature' => "$header.$payload.", 'two parts' => "$header.$payload",
        'four parts' => "$good.x", 'five parts' => "$good.x.y", 'signature cut' => substr($good, 0, -4), 'signature of zeros' => join('.', $header, $payload, encode_base64url("\0" x 64)),
        'signature of ones' => join('.', $header, $payload, encode_base64url("\xff" x 64)), 'signature empty but dots' => "$header.$payload.....", 'dots' => '..', 'a dot' => '.', 'padding' => "$good==",
        'a byte changed' => substr($good, 0, -10) . (substr($good, -10, 1) eq 'A' ? 'B' : 'A') . substr($good, -9),
        'another key' => $s->sign(\%claims, key => $other), 'another key under our name' => $s->sign(\%claims, key => { %$other, kid => $kid }),
        'its own key in the header' => $s->sign(\%claims, key => { %$other, kid => $kid }, header => { jwk => { %$other, d => undef } }),
        'a key from elsewhere' => $s->sign(\%claims, key => $other, header => { jku => 'http://127.0.0.1:1/keys', x5u => 'http://127.0.0.1:1/x' }),
        'critical header' => $s->sign(\%claims, header => { crit => ['exp'] }), 'unknown critical header' => $s->sign(\%claims, header => { crit => ['b64'], b64 => JSON::PP::false }),
        'an unknown kid' => $s->sign(\%claims, header => { kid => 'nobody' }), 'a kid of SQL' => $s->sign(\%claims, header => { kid => "' OR 1=1 --" }), 'a kid of a path' => $s->sign(\%claims, header => { kid => '../../dev/null' }),
        'HS256 by the public key' => $s->sign(\%claims, alg => 'HS256', key => $json->encode($public), header => { kid => $kid }), 'HS256 by the set' => $s->sign(\%claims, alg => 'HS256', key => $set_text, header => { kid => $kid }),
        'HS256 by x' => $s->sign(\%claims, alg => 'HS256', key => $public->{x}, header => { kid => $kid }), 'HS256 by nothing' => hs256({ alg => 'HS256', kid => $kid }, \%claims, ''),
        'RS256 said, ES256 signed' => jwt({ alg => 'RS256', kid => $kid }, \%claims, $signature),
        'claims no object' => $s->sign([1, 2]), 'claims no JSON' => jwt({ alg => 'ES256', kid => $kid }, 'nonsense', $signature), 'header no JSON' => "bm9uc2Vuc2U.$payload.$signature",
        'no base64' => '!!!.???.###', 'empty' => '', 'NUL' => "$header.$payload\0.$signature", 'a mebibyte' => 'x' x 7000, 'deep' => jwt('[' x 3000, '[' x 1000, 'x'),
    );
    my %wrong = (
        iss => ['evil', '', undef, ['battlepass'], 5], aud => ['evil', '', undef, ['evil'], [], {}], role => ['root', '', undef, ['admin'], 'ADMIN', "admin\0", 'admin '], sub => [undef, '', 5, ['x'], {}],
        exp => [undef, 'tomorrow', '' . ($now + 3600), -1, JSON::PP::true, [$now + 3600]], nbf => [$now + 3600],
    );
    for my $claim (sort keys %wrong) {
        for my $value (@{ $wrong{$claim} }) {
            my %changed = (%claims, $claim => $value);
            $changed{sub} //= 'x' unless $claim eq 'sub';
            delete $changed{$claim} unless defined $value;
            $tokens{ "$claim " . (defined $value ? substr($json->encode($value), 0, 20) : 'missing') } = $s->sign(\%changed);
        }
    }
    for my $name (sort keys %tokens) {
        next if $tokens{$name} =~ /[\0\n]/ && $name ne 'NUL';
        my %headers = (Authorization => "Bearer $tokens{$name}");
        if ($name eq 'NUL') {
            like($s->raw("GET $base HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer $tokens{$name}\r\n\r\n", quiet_s => 0.3), qr{^HTTP/1\.1 40[01] }, 'NUL: refused');
            next;
        }
        my $answer = refused($name, [401], sub { api($s, 'POST', "$base/players/$player/xp-grants", { %headers, 'Idempotency-Key' => fresh_key() }, { amount => 5, source => 'm' }) });
        like($answer->{json}{code}, qr/^token_(invalid|missing|expired)$/, "$name: code");
        like($answer->{headers}{'www-authenticate'}, qr/^Bearer/, "$name: WWW-Authenticate");
        # And where Redis alone is asked.
        is(api($s, 'GET', "$base/players/$player/progress", \%headers)->{status}, 401, "$name: not for a read either") for 1 .. 2;
    }
    # A player's sub is the player's id, and must be one.
    for my $sub ('x' x 65, 'a b', "' OR 1=1 --", '../x', "a\nb", "$player\0", "a/$player", '}:s1', "\x{e9}") {
        my %headers = (Authorization => 'Bearer ' . $s->sign({ %claims, role => 'player', sub => $sub }));
        refused('the player ' . $json->encode($sub), [400, 401, 403], sub { api($s, 'GET', "$base/players/$_/progress", \%headers) }) for 'me', $player;
    }
    my $expired = $s->sign({ %claims, exp => $now - 30 });
    is(refused('expired', [401], sub { api($s, 'GET', $base, { Authorization => "Bearer $expired" }) })->{json}{code}, 'token_expired', 'expired: code');
    for my $scheme ('Basic', 'Digest', 'Bearerx', 'Token', '') {
        is(api($s, 'GET', $base, { Authorization => "$scheme $good" })->{status}, 401, "scheme '$scheme'");
    }
    is(api($s, 'GET', $base, { Authorization => "Bearer $good" })->{status}, 200, 'the good one is taken');
    is(api($s, 'GET', $base, { Authorization => "bearer $good" })->{status}, 200, 'whatever the case of the scheme');
    is(api($s, 'GET', $base, { Authorization => 'Bearer ' . $s->sign({ %claims, aud => ['x', 'battlepass'] }) })->{status}, 200, 'one of several audiences');
    # A verified token is remembered: not beyond its end.
    my $brief = 'Bearer ' . $s->sign({ %claims, exp => $now = int time + 2 });
    is(api($s, 'GET', "$base/players/$player/progress", { Authorization => $brief })->{status}, 200, 'a brief token is taken') for 1 .. 10;
    ok($s->wait_until(12, sub { sleep 0.2; api($s, 'GET', "$base/players/$player/progress", { Authorization => $brief })->{status} == 401 }), 'and no longer when it has expired');
};

# --- paths and headers ---

subtest 'paths' => sub {
    my ($me, $victim) = map { $s->fresh_player } 1 .. 2;
    grant($s, $victim, 777);
    progress($s, $victim);
    my $encoded = join '', map { sprintf '%%%02x', ord } split //, $victim;
    my @paths = (
        map({ ("$base/players/$_/progress", "$base/players/$_/xp-grants") } $victim, $encoded, "$me/../$victim", "$me%2f..%2f$victim", "me/../$victim", "me%2F..%2F$victim", "./$victim", "$victim%00", "$victim%00$me", "$me%00$victim",
            "%00$victim", "$victim%20", "%0a$victim", "$victim;x", "$victim?player=$me", "..%2f$victim", "%2e%2e%2fplayers%2f$victim", "me%23", "$victim%252e", "$me,$victim", "\%u0041", "$victim%c0%af", "$victim%", "$victim%2", "$victim%gg"),
        "/v1//seasons//$season//players//$victim//progress", "/v1/./seasons/$season/players/$victim/progress", "/x/../v1/seasons/$season/players/$victim/progress", "/V1/SEASONS/$season/PLAYERS/$victim/progress",
        "$base/players/me/progress/../../$victim/progress", "$base/players/$victim/progress#", "$base/players/$victim/progress?me", "$base/players/$victim/progress?x=/players/me/progress", "$base/players/$victim/progress;x=/players/me",
        "$base\\players\\$victim\\progress", "$base/players/$victim/progress/", "$base/players//progress", "$base/players/progress", "/v1/seasons/..%2f..%2fseasons%2f$season/players/$victim/progress",
        "http://localhost$base/players/$victim/progress",
    );
    for my $path (@paths) {
        my $answer = parsed($s->raw(http_text('GET', $path, { $s->as(player => $me), Connection => 'close' }), quiet_s => 2));
        ok(defined $answer->{status} && $answer->{status} < 500, "$path: answered") or diag($answer->{text});
        unlike($answer->{text}, qr/"xp":777|"amount":777|"player":"\Q$victim\E"/, "$path: nothing of the victim");
    }
    for my $path ('/metrics', '/v1/../metrics', '/v1/seasons/../../metrics', "$base/players/x/../../../../../metrics", '/%6detrics', '/metrics%2f..%2fv1%2fseasons', '/metrics?/v1/seasons', '/metrics#/v1/seasons', '/v1/seasons/%2e%2e/%2e%2e/metrics',
        '/livez/../metrics', '/readyz', '/.problem', '/v1/seasons%2f..%2f..%2fmetrics', '//metrics', '/metrics/../v1/seasons/s1/players/x/progress', '/v1/admin/%2e%2e/%2e%2e/metrics') {
        my $answer = parsed($s->raw(http_text('GET', $path, { $s->as('admin'), Connection => 'close' }), quiet_s => 2));
        like($answer->{status}, qr/^4\d\d$/, "$path: refused") or diag($answer->{text});
        unlike($answer->{text}, qr/battlepass_requests_total|"checks"/, "$path: nothing of the inside");
    }
    # A name written with escapes is the same name.
    my $own = $s->raw(http_text('GET', "$base/players/" . join('', map { sprintf '%%%02X', ord } split //, $me) . '/progress', { $s->as(player => $me), Connection => 'close' }), quiet_s => 2);
    like($own, qr{^HTTP/1\.1 (200|400|403|404)\b}, 'the own name in escapes');
    unlike($own, qr/"player":"%/, 'and is not taken for another');
};

sub parsed {
    my ($text) = @_;
    my ($status) = $text =~ m{^HTTP/1\.1 (\d+)};
    return { status => $status, text => $text };
}

subtest 'SQL and Redis in every text' => sub {
    my $player = $s->fresh_player;
    progress($s, $player);
    my $rows = fingerprint($s);
    for my $fragment (@fragments) {
        my $name = $fragment =~ s/[^ -~]/?/gr;
        my %good = (player => $player, amount => 1, source => 'm', idempotency_key => fresh_key());
        for my $field ('player', 'source', 'idempotency_key', 'occurred_at', 'tags') {
            next if $field eq 'idempotency_key' && $fragment =~ /\A[!-~]+\z/;
            next if $field =~ /^(source|tags)$/ && $fragment =~ m{\A[A-Za-z0-9._:/-]+\z};
            my $value = $field eq 'tags' ? ['a', $fragment] : $fragment;
            my $single = grep { $field eq $_ } qw(source occurred_at tags);
            is(statuses(batch($s, [ { %good, $field => $value } ])), { rejected => 1 }, "'$name' as $field in a batch");
            is(grant($s, $player, 1, $field => $value)->{status}, 400, "'$name' as $field") if $single;
        }
        my $results = api($s, 'POST', "$base/progress:lookup", { $s->as('server') }, { players => [ $fragment, $player ] })->{json}{results};
        is([ $results->[0]{error}{code}, $results->[1]{player} ], [ 'invalid_field', $player ], "'$name' in a lookup");
        (my $escaped = do { my $bytes = $fragment; utf8::encode($bytes); $bytes }) =~ s/(.)/sprintf '%%%02x', ord $1/ges;
        for my $path ("/v1/seasons/$escaped", "/v1/seasons/$escaped/players/$player/progress", "$base/players/$escaped/progress", "$base/players/$player/xp-grants?source=$escaped", "$base/players/$player/xp-grants?tag=$escaped",
            "$base/players/$player/xp-grants?cursor=$escaped", "$base/players/$player/xp-grants?from=$escaped", "$base/players/$player/xp-grants?page_size=$escaped", "/v1/seasons?cursor=$escaped", "$base/players/$player/xp-grants?$escaped=1") {
            my $answer = api($s, 'GET', $path, { $s->as('server') });
            ok($answer->{status} < 500, "'$name': $path") or diag($answer->{body});
            is([ grep { /inject|cookie/i } keys %{ $answer->{headers} } ], [], 'no header of ours');
        }
        next if $fragment =~ /[\r\n]|[^ -~]/;
        for my $header ('If-None-Match', 'Accept-Language', 'X-Request-Id', 'traceparent', 'Accept', 'Cookie', 'X-Forwarded-For', 'Host') {
            my $answer = api($s, 'GET', "$base/players/$player/progress", { $s->as('server'), $header => $fragment });
            ok($answer->{status} == 200 || $header eq 'Host' && $answer->{status} == 400, "'$name' as $header") or diag($answer->{body});
        }
        my $answer = api($s, 'GET', $base, { Authorization => "Bearer $fragment" });
        is($answer->{status}, 401, "'$name' as token");
    }
    is(fingerprint($s), $rows, 'nothing changed');
    # Where such a text is a legal key, it is data.
    my @keys = grep { /\A[!-~]+\z/ } @fragments, "';DROP/**/TABLE/**/xp_grant;--", "'||(SELECT(SLEEP(5)))||'";
    my $begin = time;
    is(grant($s, $player, 1, key => $_)->{status}, 201, "'$_' as key") for @keys;
    ok(time - $begin < 4, 'no sleep was injected');
    is([ sort map { $_->{idempotency_key} } @{ ledger($s, $player) } ], [ sort @keys ], 'and stands in the ledger as it is');
    is($s->redis(GET => 'sentinel'), 'still here', 'Redis was not flushed');
};

subtest 'line breaks in headers' => sub {
    my $player = $s->fresh_player;
    my %auth = $s->as('server');
    for my $header ('X-Request-Id', 'traceparent', 'If-None-Match', 'Accept-Language', 'Idempotency-Key', 'Authorization') {
        for my $break ("\r\n", "\n", "\r", "%0d%0a", "\r\n ", "\0") {
            my %headers = (%auth, Connection => 'close');
            $headers{$header} = ($headers{$header} // 'x') . "${break}Set-Cookie: evil=1";
            my $text = $s->raw(http_text('GET', "$base/players/$player/progress", \%headers), quiet_s => 1);
            my ($head) = split /\r\n\r\n/, $text, 2;
            like($head, qr{^HTTP/1\.1 (200|400|401|404)\b}, "$header: answered");
            unlike($head, qr/^Set-Cookie/mi, "$header: no header injected");
        }
    }
    for my $path ("$base/players/$player/xp-grants?page_size=1&x=%0d%0aSet-Cookie:+evil=1", "$base/players/$player%0d%0aSet-Cookie:%20evil=1/xp-grants", "/v1/seasons/x%0d%0aSet-Cookie:%20evil=1") {
        grant($s, $player, 1);
        my $text = $s->raw(http_text('GET', $path, { %auth, Connection => 'close' }), quiet_s => 1);
        unlike($text, qr/^Set-Cookie/mi, 'nor by the path');
    }
};

# --- Redis ---

subtest 'what was planted in Redis is not shown' => sub {
    my $other = $s->fresh_player;
    my ($revision) = $s->db->selectrow_array('SELECT revision FROM season WHERE season_id = ?', undef, $season);
    my $lie = sub { my ($player) = @_; return $json->encode({ player => $player, season => $season, xp => 31_337, revision => '1', planted => 1 }) };
    my %values = (
        'another player\'s' => sub { "V1.$revision\n$other\n" . $lie->($other) }, 'no player' => sub { "V1.$revision\n\n" . $lie->($_[0]) }, 'no lines' => sub { "V1.$revision" . $lie->($_[0]) }, 'one line' => sub { "V1.$revision\n" . $lie->($_[0]) },
        'a prefix of the player' => sub { "V1.$revision\n" . substr($_[0], 0, -1) . "\n" . $lie->($_[0]) }, 'more than the player' => sub { "V1.$revision\n$_[0]x\n" . $lie->($_[0]) }, 'the player and NUL' => sub { "V1.$revision\n$_[0]\0\n" . $lie->($_[0]) },
        'CRLF' => sub { "V1.$revision\r\n$_[0]\r\n" . $lie->($_[0]) }, 'V alone' => sub { 'V' }, 'V and a line' => sub { "V\n" }, 'V without a dot' => sub { "V1\n$_[0]\n" . $lie->($_[0]) }, 'V of text' => sub { "Vx.y\n$_[0]\n" . $lie->($_[0]) },
        'V negative' => sub { "V-1.$revision\n$_[0]\n" . $lie->($_[0]) }, 'V too large' => sub { 'V' . '9' x 40 . ".$revision\n$_[0]\n" . $lie->($_[0]) }, 'season revision too large' => sub { 'V1.' . '9' x 40 . "\n$_[0]\n" . $lie->($_[0]) },
        'an older season revision' => sub { "V1.0\n$_[0]\n" . $lie->($_[0]) }, 'a newer season revision' => sub { "V1." . ($revision + 1) . "\n$_[0]\n" . $lie->($_[0]) }, 'V with a space' => sub { "V 1.$revision\n$_[0]\n" . $lie->($_[0]) },
        'V with a plus' => sub { "V+1.$revision\n$_[0]\n" . $lie->($_[0]) }, 'V with zeros' => sub { "V0x1.$revision\n$_[0]\n" . $lie->($_[0]) }, 'v' => sub { "v1.$revision\n$_[0]\n" . $lie->($_[0]) }, 'the body alone' => sub { $lie->($_[0]) },
        'V in noise' => sub { 'V' . join '', map { chr int rand 256 } 1 .. 500 }, 'no body' => sub { "V1.$revision\n$_[0]\n" }, 'no body, no line' => sub { "V1.$revision\n$_[0]" },
        'T alone' => sub { 'T' }, 'T of text' => sub { 'Tx.y' }, 'T without nonce' => sub { 'T1.' }, 'T without a dot' => sub { 'T1' }, 'T too large' => sub { 'T' . '9' x 40 . '.abc' }, 'T negative' => sub { 'T-1.abc' }, 'T of a revision far on' => sub { 'T1000000.abc' },
        'T in noise' => sub { "T\0\xff\r\n" . 'x' x 500 }, 'L alone' => sub { 'L' }, 'L of text' => sub { 'Lx' }, 'L long' => sub { 'L' . 'x' x 100_000 }, 'L in noise' => sub { "L\0\r\n*3\r\n" }, 'empty' => sub { '' }, 'NUL' => sub { "\0" }, 'X' => sub { 'X1.1' },
        'a number' => sub { '12345' }, 'huge' => sub { "V1.$revision\n$other\n" . 'x' x 20_000_000 }, 'huge noise' => sub { 'V' . "\xff\n" x 5_000_000 },
    );
    my %keys = (
        'a list' => ['RPUSH', 'V1.1', 'x'], 'a hash' => ['HSET', 'V', 'x'], 'a set' => ['SADD', 'V1.1'], 'a sorted set' => ['ZADD', 1, 'V'], 'a stream' => ['XADD', '*', 'a', 'b'],
    );
    my @plants = ((map { my $name = $_; [ $name, sub { $s->redis(SET => $_[1], $values{$name}->($_[0])) } ] } sort keys %values),
        (map { my ($name, $command, @rest) = ($_, @{ $keys{$_} }); [ $name, sub { $s->redis($command, $_[1], @rest) } ] } sort keys %keys));
    for my $case (@plants) {
        my ($name, $plant) = @$case;
        my $player = $s->fresh_player;
        my $xp = 0;
        my $check = sub {
            my ($when, $answer) = @_;
            my $ok = is([ $answer->{status}, $answer->{json}{player}, $answer->{json}{xp} ], [ 200, $player, $xp ], "$name, $when: the truth");
            unlike($answer->{body}, qr/planted|"xp":31337\b/, "$name, $when: not what was planted");
            is($answer->{headers}{'content-length'}, length $answer->{body}, "$name, $when: all of it");
            return $ok;
        };
        # A replant needs the key of the epoch in force, without what stood there.
        my $again = sub { my $key = cache_key($s, $player); $s->redis(DEL => $key); $plant->($player, $key); return };
        $again->();
        $check->('never granted', progress($s, $player));
        $check->('read again', progress($s, $player)) or next;
        $again->();
        my $answer = grant($s, $player, 250);
        is([ $answer->{status}, $answer->{json}{xp_after} ], [ 201, 250 ], "$name: a grant counts");
        $xp = 250;
        $check->('after a grant', progress($s, $player));
        $again->();
        my ($result) = @{ api($s, 'POST', "$base/progress:lookup", { $s->as('server') }, { players => [$player] })->{json}{results} };
        is([ @$result{qw(player xp)} ], [ $player, 250 ], "$name: a lookup");
        $again->();
        is(batch($s, [ { player => $player, amount => 50, source => 'm', idempotency_key => fresh_key() } ])->{json}{results}[0]{xp_after}, 300, "$name: a batch");
        $xp = 300;
        $check->('after a batch', progress($s, $player)) for 1 .. 2;
    }
    ok(await_cache($s), 'and the cache is in use');
};

# What is remembered of a token ends with the key that signed it, for all processes at once.
subtest 'a key that is taken back' => sub {
    my ($file, $private) = ($s->dir . '/keys/set.json', "$s->{scratch}/other.json");
    my $slurp = sub { open my $in, '<', $_[0] or die "$_[0]: $!"; local $/ = undef; return $json->decode(scalar <$in>) };
    my $spew = sub { my ($set) = @_; open my $out, '>', $file or die "$file: $!"; print {$out} $json->encode($set); close $out or die "$file: $!" };
    my $with_keys = sub {
        my (@keys) = @_;
        $spew->({ keys => \@keys });
        my $before = $s->workers;
        $s->reload;
        return $s->wait_until(10, sub { !grep { $before->{$_} } keys %{ $s->workers } });
    };
    is(($s->ctl('key', 'generate', '--algorithm', 'ES256', '--private', $private, '--set', "$s->{scratch}/other-set.json"))[0], 0, 'another key');
    my ($first) = @{ $slurp->($file)->{keys} };
    my ($second) = @{ $slurp->("$s->{scratch}/other-set.json")->{keys} };
    my $now = int time;
    my $player = $s->fresh_player;
    my %claims = (iss => 'battlepass', aud => 'battlepass', role => 'player', sub => $player, iat => $now, exp => $now + 3600);
    my %by_first = $s->as(player => $player);
    my %by_second = (Authorization => 'Bearer ' . $s->sign(\%claims, key => $slurp->($private)));
    # Both lanes: what is cached, and what is not.
    my $statuses = sub {
        my ($headers) = @_;
        return [ map { $s->redis('DEL', cache_key($s, $player)) if $_ % 2; api($s, 'GET', "$base/players/me/progress", $headers)->{status} } 1 .. 6 ];
    };
    my ($good, $bad) = ([ (200) x 6 ], [ (401) x 6 ]);
    is($statuses->(\%by_second), $bad, 'no key, no token');
    ok($with_keys->($first, $second), 'both keys');
    is($statuses->($_), $good, 'each is good for a token') for \%by_first, \%by_second;
    ok($with_keys->($first), 'the second is taken back');
    is($statuses->(\%by_second), $bad, 'its tokens with it');
    is($statuses->(\%by_first), $good, 'and no others');
    ok($with_keys->($first, $second), 'both again');
    is($statuses->($_), $good, 'as before') for \%by_first, \%by_second;
    ok($with_keys->($first), 'as it began');
};

subtest 'nobody died, nothing was lost' => sub {
    is($s->metrics->{battlepass_process_deaths_total}, $deaths, 'no process died');
    is($s->redis(GET => 'sentinel'), 'still here', 'Redis was not flushed');
    my $db = $s->db;
    ok(eval { $db->selectrow_array("SELECT COUNT(*) FROM $_"); 1 }, "table $_") for qw(progress xp_grant season claim pass_ownership);
    is($s->server_errors, 0, 'and there was no answer of 500 or more');
};

done_testing;
