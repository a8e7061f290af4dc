#!/usr/bin/perl
# Every problem code that the routes built so far can give: status, content type, the field at fault, instance, and the headers that
# belong to it; and that nothing was changed by what was refused.
use Test2::V0 '!call', '!check';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;

# Some of the cases need a database that is away, and two active seasons: nothing for the shared stack.
my $s = Battlepass::Stack->new;
my $season = $s->season;
my $player = $s->fresh_player;
my $taken = fresh_key();

publish_season($s, small_season('over', starts_at => iso_time(time - 90_000), purchase_closes_at => iso_time(time - 5000), ends_at => iso_time(time - 4000)));
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');
grant($s, $player, 100, key => $taken);

my $base = "/v1/seasons/$season";
my $own = "$base/players/$player";
my $grant = "$own/xp-grants";
my $good = { amount => 5, source => 'match' };
my $entry = { player => $player, amount => 5, source => 'match', idempotency_key => 'e-1' };
my %seen;

# [name, method, path, role or headers, body, status, code, pointer]
sub refused {
    my (@cases) = @_;
    for my $case (@cases) {
        my ($name, $method, $path, $who, $body, $status, $code, $pointer) = @$case;
        my %headers = ref $who ? %$who : defined $who ? $s->as(split / /, $who) : ();
        $headers{'Idempotency-Key'} //= fresh_key() if $path =~ m{players/[^/]+/xp-grants$} && $method eq 'POST';
        delete $headers{'Idempotency-Key'} if ($headers{'Idempotency-Key'} // '') eq 'none';
        my $rows = fingerprint($s);
        my $answer = api($s, $method, $path, \%headers, $body);
        is_problem($answer, $status, $code, $name, defined $pointer ? (pointer => $pointer) : ());
        is(fingerprint($s), $rows, "$name: nothing changed");
        unlike($answer->{headers}{'cache-control'} // '', qr/public/, "$name: not for caches");
        is($answer->{headers}{etag}, undef, "$name: no ETag");
        like($answer->{headers}{'www-authenticate'}, qr/^Bearer\b/, "$name: WWW-Authenticate") if $status == 401;
        ok($answer->{headers}{allow}, "$name: Allow") if $status == 405;
        like($answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "$name: Retry-After") if $status == 503;
        $seen{$code} = 1;
    }
    return;
}

sub post {
    my ($name, $body, $code, $pointer) = @_;
    return [ "grant: $name", 'POST', $grant, 'server', $body, 400, $code, $pointer ];
}

sub many {
    my ($name, $body, $code, $pointer) = @_;
    return [ "batch: $name", 'POST', "$base/xp-grants", 'server', $body, 400, $code, $pointer ];
}

sub ask {
    my ($name, $body, $code, $pointer) = @_;
    return [ "lookup: $name", 'POST', "$base/progress:lookup", 'server', $body, 400, $code, $pointer ];
}

subtest 'bodies that are no JSON' => sub {
    for my $make (\&post, \&many, \&ask) {
        refused(map { $make->($_->[0], $_->[1], 'malformed_json') } (
            ['empty', ''], ['blank', '   '], ['truncated', '{"amount":5'], ['text after it', '{} x'], ['two values', '{}{}'],
            ['single quotes', "{'amount':5}"], ['a comment', '{} // no'], ['a trailing comma', '{"amount":5,}'], ['NaN', '{"amount":NaN}'],
            ['a plus sign', '{"amount":+5}'], ['a leading zero', '{"amount":05}'], ['a byte order mark', "\xef\xbb\xbf{}"],
        ));
    }
};

subtest 'fields at fault' => sub {
    refused(
        post('no object', '[]', 'invalid_field', ''),
        post('a text', '"x"', 'invalid_field', ''),
        post('null', 'null', 'invalid_field', ''),
        post('no amount', { source => 'm' }, 'invalid_field', '/amount'),
        post('no source', { amount => 5 }, 'invalid_field', '/source'),
        post('amount 0', { %$good, amount => 0 }, 'invalid_field', '/amount'),
        post('amount -1', { %$good, amount => -1 }, 'invalid_field', '/amount'),
        post('amount too large', { %$good, amount => 1_000_000_001 }, 'invalid_field', '/amount'),
        post('amount a text', { %$good, amount => '5' }, 'invalid_field', '/amount'),
        post('amount null', { %$good, amount => undef }, 'invalid_field', '/amount'),
        post('amount a fraction', '{"amount":1.5,"source":"m"}', 'invalid_field', '/amount'),
        post('amount true', '{"amount":true,"source":"m"}', 'invalid_field', '/amount'),
        post('source empty', { %$good, source => '' }, 'invalid_field', '/source'),
        post('tags no array', { %$good, tags => 'x' }, 'invalid_field', '/tags'),
        post('a tag that is none', { %$good, tags => ['a', 'b c'] }, 'invalid_field', '/tags/1'),
        post('occurred_at no time', { %$good, occurred_at => 'today' }, 'invalid_field', '/occurred_at'),
        post('occurred_at no text', { %$good, occurred_at => 5 }, 'invalid_field', '/occurred_at'),
        post('occurred_at 31 February', { %$good, occurred_at => '2026-02-31T00:00:00Z' }, 'invalid_field', '/occurred_at'),
        post('occurred_at without zone', { %$good, occurred_at => '2026-02-01T00:00:00' }, 'invalid_field', '/occurred_at'),
        post('occurred_at in the future', { %$good, occurred_at => iso_time(time + 3600) }, 'invalid_field', '/occurred_at'),
        post('unknown', { %$good, bonus => 1 }, 'unknown_field', '/bonus'),
        post('other letter case', { %$good, Amount => 1 }, 'unknown_field', '/Amount'),
        post('a name with a slash', { %$good, 'a/b~c' => 1 }, 'unknown_field', '/a~1b~0c'),
        post('the player belongs into the path', { %$good, player => $player }, 'unknown_field', '/player'),
        many('no grants', {}, 'invalid_field', '/grants'),
        many('grants null', { grants => undef }, 'invalid_field', '/grants'),
        many('no grant', { grants => [] }, 'invalid_field', '/grants'),
        many('501 grants', { grants => [ map { { %$entry, idempotency_key => "e-$_" } } 1 .. 501 ] }, 'invalid_field', '/grants'),
        many('unknown', { grants => [$entry], reason => 'x' }, 'unknown_field', '/reason'),
        ask('no players', {}, 'invalid_field', '/players'),
        ask('players a text', { players => $player }, 'invalid_field', '/players'),
        ask('nobody', { players => [] }, 'invalid_field', '/players'),
        ask('201 players', { players => [ ($player) x 201 ] }, 'invalid_field', '/players'),
        ask('unknown', { players => [$player], fields => [] }, 'unknown_field', '/fields'),
    );
};

subtest 'paths, queries and headers at fault' => sub {
    refused(
        ['player with a space', 'GET', "$base/players/a%20b/progress", 'server', undef, 400, 'invalid_field', '/path/player'],
        ['player too long', 'GET', "$base/players/" . 'x' x 65 . '/progress', 'server', undef, 400, 'invalid_field', '/path/player'],
        ['me of a server', 'GET', "$base/players/me/progress", 'server', undef, 400, 'invalid_field', '/path/player'],
        ['a bad player in a grant', 'POST', "$base/players/a%2Bb/xp-grants", 'server', $good, 400, 'invalid_field', '/path/player'],
        ['a bad player in the ledger', 'GET', "$base/players/a%2Bb/xp-grants", 'server', undef, 400, 'invalid_field', '/path/player'],
        ['cursor', 'GET', "$grant?cursor=x", 'server', undef, 400, 'invalid_field', '/query/cursor'],
        ['page_size', 'GET', "$grant?page_size=x", 'server', undef, 400, 'invalid_field', '/query/page_size'],
        ['from', 'GET', "$grant?from=x", 'server', undef, 400, 'invalid_field', '/query/from'],
        ['to', 'GET', "$grant?to=x", 'server', undef, 400, 'invalid_field', '/query/to'],
        ['tag', 'GET', "$grant?tag=a%20b", 'server', undef, 400, 'invalid_field', '/query/tag'],
        ['source', 'GET', "$grant?source=a%20b", 'server', undef, 400, 'invalid_field', '/query/source'],
        ['page_size of seasons', 'GET', '/v1/seasons?page_size=x', 'server', undef, 400, 'invalid_field', '/query/page_size'],
        ['no key', 'POST', $grant, { $s->as('server'), 'Idempotency-Key' => 'none' }, $good, 400, 'missing_idempotency_key'],
        ['a key too long', 'POST', $grant, { $s->as('server'), 'Idempotency-Key' => 'k' x 129 }, $good, 400, 'invalid_field', '/header/Idempotency-Key'],
        ['a key with a space', 'POST', $grant, { $s->as('server'), 'Idempotency-Key' => 'a b' }, $good, 400, 'invalid_field', '/header/Idempotency-Key'],
    );
};

subtest 'tokens and roles' => sub {
    my $expired = 'Bearer ' . $s->token('server', 'gs-1', ttl => -60);
    my %calls = (
        list => ['GET', '/v1/seasons'], definition => ['GET', $base], progress => ['GET', "$own/progress"], ledger => ['GET', $grant],
        grant => ['POST', $grant, $good], batch => ['POST', "$base/xp-grants", { grants => [$entry] }],
        lookup => ['POST', "$base/progress:lookup", { players => [$player] }],
    );
    for my $name (sort keys %calls) {
        my ($method, $path, $body) = @{ $calls{$name} };
        refused(
            ["$name: no token", $method, $path, {}, $body, 401, 'token_missing'],
            ["$name: an empty header", $method, $path, { Authorization => '' }, $body, 401, 'token_missing'],
            ["$name: no token at all", $method, $path, { Authorization => 'Bearer nonsense' }, $body, 401, 'token_invalid'],
            ["$name: expired", $method, $path, { Authorization => $expired }, $body, 401, 'token_expired'],
        );
    }
    refused(
        ['progress: another player', 'GET', "$own/progress", 'player p-2', undef, 403, 'not_your_data'],
        ['ledger: another player', 'GET', $grant, 'player p-2', undef, 403, 'not_your_data'],
        ['lookup: a player', 'POST', "$base/progress:lookup", "player $player", { players => [$player] }, 403, 'role_not_allowed'],
        map({ ["grant: a $_", 'POST', $grant, $_ eq 'player' ? "player $player" : $_, $good, 403, 'role_not_allowed'] } qw(player viewer designer)),
        map({ ["batch: a $_", 'POST', "$base/xp-grants", $_ eq 'player' ? "player $player" : $_, { grants => [$entry] }, 403, 'role_not_allowed'] }
            qw(player viewer support designer)),
    );
    # Who may not come in is not told what is inside.
    refused(
        ['no token, no such season', 'GET', '/v1/seasons/nowhere', {}, undef, 401, 'token_missing'],
        ['no token, no JSON', 'POST', $grant, {}, 'x', 401, 'token_missing'],
        ['wrong role, no JSON', 'POST', $grant, 'viewer', 'x', 403, 'role_not_allowed'],
        ['wrong role, unknown field', 'POST', "$base/xp-grants", 'viewer', { x => 1 }, 403, 'role_not_allowed'],
    );
};

subtest 'what is not there' => sub {
    my @routes = (
        ['GET', '/v1/seasons/nowhere'], ['GET', "/v1/seasons/nowhere/players/$player/progress"], ['GET', "/v1/seasons/nowhere/players/$player/xp-grants"],
        ['POST', "/v1/seasons/nowhere/players/$player/xp-grants", $good], ['POST', '/v1/seasons/nowhere/xp-grants', { grants => [$entry] }],
        ['POST', '/v1/seasons/nowhere/progress:lookup', { players => [$player] }],
    );
    refused(map { ["$_->[0] $_->[1]", $_->[0], $_->[1], 'server', $_->[2], 404, 'season_not_found'] } @routes);
    refused(map { ["GET $_", 'GET', $_, 'server', undef, 404, 'no_such_route'] } '/', '/v1', '/v1/', '/v2/seasons', '/v1/nothing', "$base/", "$own",
        "$own/", "$own/progress/", "$own/progress/x", "$own/nothing", "$base/progress:nothing", "$base/players", '/v1/seasonss', '/V1/seasons');
};

subtest 'methods' => sub {
    my %allow = (
        '/v1/seasons' => ['GET', 'HEAD'], $base => ['GET', 'HEAD'], "$own/progress" => ['GET', 'HEAD'], $grant => ['GET', 'HEAD', 'POST'],
        "$base/xp-grants" => ['POST'], "$base/progress:lookup" => ['POST'], '/livez' => ['GET', 'HEAD'],
    );
    for my $path (sort keys %allow) {
        my %allowed = map { $_ => 1 } @{ $allow{$path} };
        for my $method (grep { !$allowed{$_} } qw(GET POST PUT DELETE PATCH OPTIONS)) {
            refused(["$method $path", $method, $path, 'admin', $method =~ /^P/ ? $good : undef, 405, 'method_not_allowed']);
            my $answer = api($s, $method, $path, { $s->as('admin') }, $method =~ /^P/ ? $good : undef);
            is([ sort split /,\s*/, $answer->{headers}{allow} // '' ], $allow{$path}, "$method $path: what is allowed");
        }
    }
};

subtest 'conflicts' => sub {
    refused(
        ['a grant to a season that is over', 'POST', "/v1/seasons/over/players/$player/xp-grants", 'server', $good, 409, 'season_not_active'],
        ['the key of another grant', 'POST', $grant, { $s->as('server'), 'Idempotency-Key' => $taken }, $good, 422, 'idempotency_key_reused'],
    );
    publish_season($s, small_season('twin'));
    my $current = '/v1/seasons/current';
    refused(
        ['definition', 'GET', $current, 'server', undef, 409, 'season_ambiguous'],
        ['progress', 'GET', "$current/players/$player/progress", 'server', undef, 409, 'season_ambiguous'],
        ['grant', 'POST', "$current/players/$player/xp-grants", 'server', $good, 409, 'season_ambiguous'],
        ['batch', 'POST', "$current/xp-grants", 'server', { grants => [$entry] }, 409, 'season_ambiguous'],
        ['lookup', 'POST', "$current/progress:lookup", 'server', { players => [$player] }, 409, 'season_ambiguous'],
        ['ledger', 'GET', "$current/players/$player/xp-grants", 'server', undef, 409, 'season_ambiguous'],
    );
};

subtest 'bodies of another kind' => sub {
    my $text = JSON::PP::encode_json($good);
    for my $type ('text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'application', 'multipart/form-data; boundary=x', '', 'json') {
        refused(["a body of '$type'", 'POST', $grant, { $s->as('server'), 'Content-Type' => $type }, $text, 415, 'not_json']);
    }
    my %fine = (plain => 'application/json', charset => 'application/json; charset=utf-8', capitals => 'Application/JSON', tight => 'application/json;charset=UTF-8');
    for my $name (sort keys %fine) {
        is(api($s, 'POST', $grant, { $s->as('server'), 'Idempotency-Key' => fresh_key(), 'Content-Type' => $fine{$name} }, $text)->{status}, 201, "$fine{$name} is JSON");
    }
    my $large = '{"amount":5,"source":"match"}' . ' ' x (1024 * 1024);
    refused(["a body of more than 1 MiB", 'POST', $grant, 'server', $large, 413, 'body_too_large']);
    is(api($s, 'POST', $grant, { $s->as('server'), 'Idempotency-Key' => fresh_key() }, substr $large, 0, 1024 * 1024)->{status}, 201, '1 MiB is taken');
};

subtest 'the database is away' => sub {
    my $cached = $s->fresh_player;
    progress($s, $cached) for 1 .. 2;
    my $rows = fingerprint($s);
    $s->stop('mariadb');
    my %headers = ($s->as('server'), 'Idempotency-Key' => 'away-1');
    my @calls = (
        ['progress of who is not cached', 'GET', "$base/players/" . $s->fresh_player . '/progress'], ['ledger', 'GET', $grant], ['grant', 'POST', $grant, $good],
        ['batch', 'POST', "$base/xp-grants", { grants => [$entry] }],
    );
    for my $call (@calls) {
        my ($name, $method, $path, $body) = @$call;
        my $answer = api($s, $method, $path, \%headers, $body);
        if ($name eq 'batch' && $answer->{status} == 200) {
            is([ @{ $answer->{json}{results}[0] }{qw(status code)} ], [ 'rejected', 'store_unavailable' ], 'batch: each entry says so');
            next;
        }
        is_problem($answer, 503, 'store_unavailable', $name);
        like($answer->{headers}{'retry-after'}, qr/^[1-9]\d*$/, "$name: Retry-After");
        $seen{store_unavailable} = 1;
    }
    is(api($s, 'GET', $base, { $s->as('server') })->{status}, 200, 'a definition is still answered');
    $s->start('mariadb');
    delete $s->{fingerprint_db};
    ok($s->wait_until(10, sub { api($s, 'GET', $grant, { $s->as('server') })->{status} == 200 }), 'and when it is back');
    is(fingerprint($s), $rows, 'nothing changed');
};

is([ sort keys %seen ], [ sort qw(malformed_json invalid_field unknown_field missing_idempotency_key token_missing token_invalid token_expired not_your_data
    role_not_allowed no_such_route season_not_found method_not_allowed season_ambiguous season_not_active body_too_large not_json
    idempotency_key_reused store_unavailable) ], 'every code was seen');

done_testing;
