#!/usr/bin/perl
# Claims: one, several, all, each status, replays, who may, the list with its deliveries, passes bought late, units past the last tier,
# when a season takes claims, and what the steward claims after it. What the economy has got is looked up there: one delivery a claim.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# Its own stack: its seasons would make "current" ambiguous for other tests.
my $s = Battlepass::Stack->new;
my $season = 'claims';
my $moment = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;
my $uuid = qr/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;

sub reward {
    my ($id, $tier, $pass) = @_;
    return { reward => $id, tier => $tier, pass => $pass, kind => 'item', item => "item-$id", quantity => 1 + $tier };
}

my @passes = (
    { pass => 'free', free => JSON::PP::true },
    { pass => 'gold', price => { currency => 'gems', amount => 5 } },
    { pass => 'gold-plus', price => { currency => 'gems', amount => 12 }, includes => ['gold'] },
);
my @rewards = ((map { reward("r$_", $_, 'free') } 1 .. 10), (map { reward("g$_", $_, 'gold') } 1 .. 10), map { reward("p$_", $_, 'gold-plus') } 2, 4);
my $more = { reward => 'more', pass => 'free', kind => 'currency', item => 'coins', quantity => 9 };
publish_season($s, small_season($season, passes => \@passes, rewards => \@rewards,
    overflow => { policy => 'repeat', every => 50, times => 3, reward => $more }));
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

# rewards: names, or 'all'. as, key (undef sends none), season.
sub claim {
    my ($player, $rewards, %options) = @_;
    my $key = exists $options{key} ? $options{key} : fresh_key();
    my $path = '/v1/seasons/' . ($options{season} // $season) . "/players/$player/claims";
    my $body = $options{body} // (ref $rewards ? { rewards => $rewards } : { all => JSON::PP::true });
    return api($s, 'POST', $path, { $s->as(@{ $options{as} // ['support'] }), defined $key ? ('Idempotency-Key' => $key) : () }, $body);
}

sub claims {
    my ($player, %options) = @_;
    my $path = '/v1/seasons/' . ($options{season} // $season) . "/players/$player/claims";
    return api($s, 'GET', $path . ($options{query} // ''), { $s->as(@{ $options{as} // ['viewer'] }) });
}

sub all_claims {
    my ($player, $page_size, $in) = @_;
    my ($cursor, @items) = ('');
    while (defined $cursor) {
        my $json = claims($player, query => "?page_size=$page_size$cursor", season => $in)->{json};
        push @items, @{ $json->{items} };
        $cursor = defined $json->{next} ? "&cursor=$json->{next}" : undef;
    }
    return \@items;
}

sub give_pass {
    my ($player, $pass, $in) = @_;
    my $path = '/v1/admin/seasons/' . ($in // $season) . "/players/$player/pass-grants";
    my $answer = api($s, 'POST', $path, { $s->as('support'), 'Idempotency-Key' => fresh_key() }, { pass => $pass, reason => 'a test' });
    return is($answer->{status}, 200, "$pass is given") || diag($answer->{body});
}

sub standing {
    my ($player, $in) = @_;
    my $json = progress($s, $player, season => $in // $season)->{json};
    return { %$json, map { $_ => [ sort @{ $json->{$_} } ] } qw(claimable claimed) };
}

sub by_reward {
    my ($answer) = @_;
    return { map { $_->{reward} => $_->{status} } @{ $answer->{json}{results} } };
}

# What the economy was sent for a player: keys of the deliveries, sorted.
sub delivered {
    my ($player) = @_;
    return [ sort map { $_->{key} } @{ $s->economy(GET => "/sandbox/players/$player")->{json}{deliveries} } ];
}

subtest 'one' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    my $answer = claim($player, ['r1']);
    is($answer->{status}, 200, 'status') or diag($answer->{body});
    is($answer->{headers}{'content-type'}, 'application/json', 'content type');
    is($answer->{headers}{'idempotent-replayed'}, undef, 'no replay');
    is($answer->{json}, hash {
        field player => $player;
        field season => $season;
        field revision => '2';
        field results => [ { reward => 'r1', status => 'claimed', delivery => match $uuid } ];
        etc;
    }, 'members');
    like($answer->{body}, qr/"revision":"2"/, 'a revision is a string');
    my $after = standing($player);
    is([ @$after{qw(revision claimed claimable xp)} ], [ '2', ['r1'], ['r2'], 250 ], 'it is seen at once');
    my $again = claim($player, ['r1']);
    is($again->{json}{results}, [ { reward => 'r1', status => 'already_claimed' } ], 'another key: already claimed');
    is($again->{json}{revision}, standing($player)->{revision}, 'with the revision that stands');
    is([ @{ standing($player) }{qw(claimed claimable)} ], [ ['r1'], ['r2'] ], 'nothing more is claimed');
    is($s->db->selectall_arrayref('SELECT reward_id, tier, pass_id FROM claim WHERE player_id = ?', undef, $player), [ [ 'r1', 1, 'free' ] ], 'one row');
};

subtest 'several: each status, in the order asked' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    my @asked = ('g5', 'r2', 'nothing', 'r1', 'r1', 'r3', 'g1', 'p4', 'more.1', 'more', 'more.0', 'more.4', 'more.01', 'R2', 'r2');
    my $results = claim($player, \@asked)->{json}{results};
    is([ map { $_->{reward} } @$results ], \@asked, 'a result for each');
    my @want = (
        hash { field status => 'locked'; field missing => { tier => 5, pass => 'gold' }; etc },
        hash { field status => 'claimed'; field delivery => match $uuid; etc },
        { reward => 'nothing', status => 'unknown' },
        hash { field status => 'claimed'; field delivery => match $uuid; etc },
        { reward => 'r1', status => 'already_claimed' },
        { reward => 'r3', status => 'locked', missing => { tier => 3 } },
        { reward => 'g1', status => 'locked', missing => { pass => 'gold' } },
        { reward => 'p4', status => 'locked', missing => { tier => 4, pass => 'gold-plus' } },
        hash { field status => 'locked'; field missing => T; etc },
        (map { { reward => $_, status => 'unknown' } } 'more', 'more.0', 'more.4', 'more.01', 'R2'),
        { reward => 'r2', status => 'already_claimed' },
    );
    is($results, \@want, 'each status, with what is missing and only that');
    is([ @{ standing($player) }{qw(claimed claimable revision)} ], [ [qw(r1 r2)], [], '2' ], 'the two are claimed, in one step');
    my $before = standing($player);
    my $answer = claim($player, [qw(r3 g1 nothing r1)]);
    is(by_reward($answer), { r3 => 'locked', g1 => 'locked', nothing => 'unknown', r1 => 'already_claimed' }, 'a call that claims nothing');
    is([ @{ standing($player) }{qw(claimed claimable xp)} ], [ @$before{qw(claimed claimable xp)} ], 'changes nothing');
};

subtest 'a player who never earned anything' => sub {
    my $player = $s->fresh_player;
    is(claim($player, 'all')->{json}{results}, [], 'all is nothing');
    is(claim($player, ['r1'])->{json}{results}, [ { reward => 'r1', status => 'locked', missing => { tier => 1 } } ], 'the first is locked');
    is([ @{ standing($player) }{qw(xp claimed)} ], [ 0, [] ], 'and nothing changed');
};

subtest 'all' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 550, season => $season);
    claim($player, ['r2']);
    my $answer = claim($player, 'all');
    is(by_reward($answer), { map { ("r$_" => 'claimed') } 1, 3, 4, 5 }, 'exactly what was claimable');
    is([ grep { $_->{delivery} !~ $uuid } @{ $answer->{json}{results} } ], [], 'each with its delivery');
    is($answer->{json}{revision}, standing($player)->{revision}, 'revision');
    is(standing($player)->{claimable}, [], 'nothing is left');
    is(claim($player, 'all')->{json}{results}, [], 'once more: nothing');
    give_pass($player, 'gold-plus');
    is(by_reward(claim($player, 'all')), { (map { ("g$_" => 'claimed') } 1 .. 5), p2 => 'claimed', p4 => 'claimed' },
        'what the pass and the one that it includes have below');
    grant($s, $player, 60, season => $season);
    is(standing($player)->{claimable}, [qw(g6 r6)], 'the next tier is claimable on both');
    is(by_reward(claim($player, 'all')), { g6 => 'claimed', r6 => 'claimed' }, 'and claimed');
};

subtest 'replays' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 300, season => $season);
    my %first;
    for my $case (['r1', ['r1']], ['several', [qw(r1 r2 r9 x)]], ['all', 'all'], ['nothing', 'all']) {
        my ($name, $rewards) = @$case;
        my $key = fresh_key();
        $first{$name} = [ $key, $rewards, claim($player, $rewards, key => $key) ];
        is($first{$name}[2]{status}, 200, "$name: the first");
    }
    grant($s, $player, 300, season => $season);
    for my $round (1 .. 3) {
        for my $name (sort keys %first) {
            my ($key, $rewards, $answer) = @{ $first{$name} };
            my $again = claim($player, $rewards, key => $key);
            is([ @$again{qw(status body)} ], [ 200, $answer->{body} ], "$name: the same answer");
            is($again->{headers}{'idempotent-replayed'}, 'true', "$name: marked");
        }
    }
    is([ @{ standing($player) }{qw(claimed claimable)} ], [ [qw(r1 r2 r3)], [qw(r4 r5 r6)] ], 'nothing was claimed by them');
    my $key = $first{r1}[0];
    for my $other (['r2'], ['r1', 'r2'], 'all', ['r1', 'r1']) {
        is_problem(claim($player, $other, key => $key), 422, 'idempotency_key_reused', 'another body');
    }
    is(standing($player)->{claimable}, [qw(r4 r5 r6)], 'which claimed nothing');
    my $as_player = claim($player, ['r1'], key => $key, as => [player => $player]);
    is([ $as_player->{status}, $as_player->{body} ], [ 200, $first{r1}[2]{body} ], 'who repeats does not matter');
    my $other = $s->fresh_player;
    grant($s, $other, 100, season => $season);
    is(by_reward(claim($other, ['r1'], key => $key)), { r1 => 'claimed' }, 'another player may have the same key');
};

subtest 'who may' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 500, season => $season);
    my $i = 0;
    is(by_reward(claim($player, [ 'r' . ++$i ], as => $_)), { "r$i" => 'claimed' }, $_->[0]) for [player => $player], ['support'], ['admin'];
    is(by_reward(claim('me', ['r4'], as => [player => $player])), { r4 => 'claimed' }, 'me');
    is_problem(claim($player, ['r5'], as => [$_]), 403, 'role_not_allowed', "a $_") for qw(server viewer designer);
    is_problem(claim($player, ['r5'], as => [player => "$player-x"]), 403, 'not_your_data', 'another player');
    is_problem(api($s, 'POST', "/v1/seasons/$season/players/$player/claims", { 'Idempotency-Key' => 'k' }, { all => JSON::PP::true }), 401, 'token_missing', 'nobody');
    is(standing($player)->{claimable}, ['r5'], 'the refused claimed nothing');
    is(scalar @{ claims($player, as => $_)->{json}{items} }, 4, "the list: $_->[0]") for [player => $player], map { [$_] } qw(viewer support designer admin);
    is(scalar @{ claims('me', as => [player => $player])->{json}{items} }, 4, 'the list: me');
    is_problem(claims($player, as => ['server']), 403, 'role_not_allowed', 'the list: a server');
    is_problem(claims($player, as => [player => "$player-x"]), 403, 'not_your_data', 'the list: another player');
};

subtest 'the list, and the deliveries' => sub {
    my $player = $s->fresh_player;
    is(claims($player)->{json}, { items => [] }, 'empty');
    grant($s, $player, 1100, season => $season);
    give_pass($player, 'gold-plus');
    my @order = (['r3'], ['g2', 'r1'], ['more.2'], ['p2']);
    my (%delivery, @calls);
    for my $rewards (@order) {
        my $results = claim($player, $rewards)->{json}{results};
        $delivery{ $_->{reward} } = $_->{delivery} for @$results;
        unshift @calls, join ' ', sort map { $_->{reward} } @$results;
        sleep 0.005;
    }
    my $items = claims($player)->{json}{items};
    is([ map { $_->{reward} } @$items[0, 1, 4] ], [qw(p2 more.2 r3)], 'newest first');
    is([ sort map { $_->{reward} } @$items[2, 3] ], [qw(g2 r1)], 'those of one call together');
    is($items->[0], hash {
        field reward => 'p2';
        field tier => 2;
        field pass => 'gold-plus';
        field claimed_at => match $moment;
        field delivery => in_set('pending', 'delivered');
        field delivery_id => $delivery{p2};
        etc;
    }, 'members');
    is({ map { $_->{reward} => $_->{delivery_id} } @$items }, \%delivery, 'each has the delivery that its claim named');
    my $all = claim($player, 'all')->{json}{results};
    $delivery{ $_->{reward} } = $_->{delivery} for @$all;
    is(scalar keys %delivery, 10 + 10 + 2 + 2, 'every reward') or diag(join ' ', sort keys %delivery);
    for my $size (1, 7, 23, 24, 200) {
        is([ sort map { $_->{reward} } @{ all_claims($player, $size) } ], [ sort keys %delivery ], "pages of $size hold everything once");
    }
    my $page = claims($player, query => '?page_size=5');
    is([ scalar @{ $page->{json}{items} }, defined $page->{json}{next} ], [5, T], 'a page and a next');
    like($page->{headers}{link}, qr{^<[^>]*/claims\?[^>]*cursor=[^>]+>; rel="?next"?$}, 'Link');
    is_problem(claims($player, query => '?cursor=zz'), 400, 'invalid_field', 'a bad cursor', pointer => '/query/cursor');

    my $done = $s->wait_until(20, sub { return !grep { $_->{delivery} ne 'delivered' } @{ all_claims($player, 200) } });
    ok($done, 'all come to be delivered');
    is(delivered($player), [ sort values %delivery ], 'the economy has each once, by its id');
    sleep 1.5;
    is(delivered($player), [ sort values %delivery ], 'and still once a moment later');
    my %sent = map { $_->{key} => $_ } @{ $s->economy(GET => "/sandbox/players/$player")->{json}{deliveries} };
    my %what = (r3 => ['item', 'item-r3', 4], 'more.2' => ['currency', 'coins', 9], p2 => ['item', 'item-p2', 3]);
    is([ @{ $sent{ $delivery{$_} } }{qw(kind item quantity)} ], $what{$_}, "$_: kind, item and quantity are those of the season") for sort keys %what;
};

subtest 'a pass bought late' => sub {
    my $player = $s->fresh_player;
    $s->economy(PUT => "/sandbox/wallets/$player", { currency => 'gems', balance => 100 });
    grant($s, $player, 700, season => $season);
    claim($player, 'all', as => [player => $player]);
    is(standing($player)->{claimable}, [], 'everything of the free pass is claimed');
    my $bought = api($s, 'POST', "/v1/seasons/$season/players/$player/purchases",
        { $s->as(player => $player), 'Idempotency-Key' => fresh_key() }, { pass => 'gold' });
    is($bought->{status}, 201, 'bought') or diag($bought->{body});
    is(standing($player)->{claimable}, [ map { "g$_" } 1 .. 7 ], 'every reward below is claimable at once');
    is(by_reward(claim($player, ['g7', 'g8', 'p2'], as => [player => $player])), { g7 => 'claimed', g8 => 'locked', p2 => 'locked' }, 'one of them, and what is still locked');
    is(by_reward(claim($player, 'all', as => [player => $player])), { map { ("g$_" => 'claimed') } 1 .. 6 }, 'and the others');
    is(standing($player)->{claimed}, [ sort map { ("g$_", "r$_") } 1 .. 7 ], 'all are claimed');
};

subtest 'units past the last tier' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 1049, season => $season);
    is(by_reward(claim($player, 'all')), { map { ("r$_" => 'claimed') } 1 .. 10 }, 'none yet');
    is(by_reward(claim($player, ['more.1'])), { 'more.1' => 'locked' }, 'the first is locked');
    grant($s, $player, 60, season => $season);
    is(by_reward(claim($player, ['more.2', 'more.1', 'more.3'])), { 'more.1' => 'claimed', 'more.2' => 'claimed', 'more.3' => 'locked' }, 'two of them');
    is(by_reward(claim($player, ['more.1', 'more.2'])), { 'more.1' => 'already_claimed', 'more.2' => 'already_claimed' }, 'not again');
    grant($s, $player, 5000, season => $season);
    is(standing($player)->{claimable}, ['more.3'], 'three times at most');
    is(by_reward(claim($player, 'all')), { 'more.3' => 'claimed' }, 'the third');
    is(by_reward(claim($player, ['more.4'])), { 'more.4' => 'unknown' }, 'there is no fourth');
};

subtest 'bad input' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 500, season => $season);
    my $rows = fingerprint($s);
    my @bad = (
        ['both', { rewards => ['r1'], all => JSON::PP::true }],
        ['neither', {}],
        ['all: false', { all => JSON::PP::false }, '/all'],
        ['all: "true"', { all => 'true' }, '/all'],
        ['all: 1', { all => 1 }, '/all'],
        ['all: null', { all => undef }, '/all'],
        ['rewards: none', { rewards => [] }, '/rewards'],
        ['rewards: 501', { rewards => [ map { "x$_" } 1 .. 501 ] }, '/rewards'],
        ['rewards: a text', { rewards => 'r1' }, '/rewards'],
        ['rewards: an object', { rewards => { r1 => 1 } }, '/rewards'],
        ['rewards: null', { rewards => undef }, '/rewards'],
        ['a number', { rewards => [ 'r1', 5 ] }, '/rewards/1'],
        ['a null', { rewards => [undef] }, '/rewards/0'],
        ['an array', { rewards => [ ['r1'] ] }, '/rewards/0'],
    );
    for my $case (@bad) {
        my ($name, $body, $pointer) = @$case;
        is_problem(claim($player, undef, body => $body), 400, 'invalid_field', $name, defined $pointer ? (pointer => $pointer) : ());
    }
    is_problem(claim($player, undef, body => { rewards => ['r1'], player => $player }), 400, 'unknown_field', 'an unknown field', pointer => '/player');
    is_problem(claim($player, ['r1'], key => undef), 400, 'missing_idempotency_key', 'without a key');
    is_problem(claim($player, undef, body => $_), 400, 'malformed_json', "'$_'") for '{"rewards":["r1"]', '{"all":true}x', '{"all":true,"all":true}';
    is(claim($player, undef, body => $_)->{status}, 400, "'$_'") for '[]', '"all"', 'true', '';
    is_problem(api($s, 'POST', "/v1/seasons/$season/players/$player/claims",
        { $s->as('support'), 'Idempotency-Key' => fresh_key(), 'Content-Type' => 'text/plain' }, '{"all":true}'), 415, 'not_json', 'another type');
    is(fingerprint($s), $rows, 'nothing changed');
    for my $odd ('', 'a b', "'; DROP TABLE claim; --", "\x{e4}", 'x' x 65, 'x' x 5000, "more.\x{661}", 'more.1e0', 'more.-1', 'more.99999999999999999999') {
        my $answer = claim($player, [$odd]);
        ok($answer->{status} == 400 || $answer->{status} == 200 && $answer->{json}{results}[0]{status} eq 'unknown', 'an id that is none: refused or unknown') or diag("$odd: $answer->{body}");
    }
    my $many = claim($player, [ (map { "x$_" } 1 .. 495), map { "r$_" } 1 .. 5 ]);
    is([ $many->{status}, statuses($many) ], [ 200, { unknown => 495, claimed => 5 } ], '500 are taken');
    is_problem(claim($player, 'all', season => 'nowhere'), 404, 'season_not_found', 'no such season');
    is_problem(claims($player, season => 'nowhere'), 404, 'season_not_found', 'no such season: the list');
    is_problem(api($s, 'DELETE', "/v1/seasons/$season/players/$player/claims", { $s->as('admin') }), 405, 'method_not_allowed', 'DELETE');
};

subtest 'when a season takes claims' => sub {
    my $now = time;
    my %times = (starts_at => iso_time($now - 9000), purchase_closes_at => iso_time($now - 5000), ends_at => iso_time($now - 3600), late_window_s => 86_400);
    publish_season($s, small_season('soon', starts_at => iso_time($now + 5000)));
    publish_season($s, small_season('selling-over', purchase_closes_at => iso_time($now - 10)));
    publish_season($s, small_season('open', %times, claim_until => iso_time($now + 5000)));
    publish_season($s, small_season('shut', %times, claim_until => iso_time($now + 8)));
    my $player = $s->fresh_player;
    my $inside = iso_time($now - 4000);
    is_problem(claim($player, $_, season => 'soon'), 409, 'season_not_active', 'before the start') for 'all', ['r1'];
    grant($s, $player, 250, season => 'selling-over');
    is(by_reward(claim($player, 'all', season => 'selling-over')), { r1 => 'claimed', r2 => 'claimed' }, 'nothing is sold any more');
    is(grant($s, $player, 250, season => $_, occurred_at => $inside)->{status}, 201, "$_: XP") for 'open', 'shut';
    my $key = fresh_key();
    my $first = claim($player, ['r1'], season => 'shut', key => $key);
    is(by_reward($first), { r1 => 'claimed' }, 'the season has ended: claims are open');
    is(by_reward(claim($player, 'all', season => 'open')), { r1 => 'claimed', r2 => 'claimed' }, 'until claim_until');
    sleep($now + 8.2 - time) if time < $now + 8.2;
    is_problem(claim($player, $_, season => 'shut'), 409, 'season_not_active', 'after claim_until') for 'all', ['r2'], ['r1'];
    my $again = claim($player, ['r1'], season => 'shut', key => $key);
    is([ @$again{qw(status body)} ], [ 200, $first->{body} ], 'a repeated claim still has its first answer');
    is([ map { $_->{reward} } @{ claims($player, season => 'shut')->{json}{items} } ], ['r1'], 'the list can be read');
    is(standing($player, 'shut')->{claimed}, ['r1'], 'and nothing more was claimed');
    is(by_reward(claim($player, ['r1'], season => 'open')), { r1 => 'already_claimed' }, 'the other season is still open');
    publish_season($s, small_season('draft'), only => 'import');
    is_problem(claim($player, 'all', season => 'draft'), 404, 'season_not_found', 'a draft');
};

subtest 'what is left when the claims close' => sub {
    my $now = time;
    my $convert = { policy => 'convert', item => 'dust', quantity => 7 };
    publish_season($s, small_season('left', starts_at => iso_time($now - 9000), purchase_closes_at => iso_time($now - 5000), ends_at => iso_time($now - 3600),
        late_window_s => 86_400, claim_until => iso_time($now + 8), passes => [
            { pass => 'free', free => JSON::PP::true, auto_claim => { policy => 'claim' } },
            { pass => 'gold', price => { currency => 'gems', amount => 5 }, auto_claim => $convert },
            { pass => 'silver', price => { currency => 'gems', amount => 4 }, auto_claim => { policy => 'forfeit' } },
            { pass => 'bronze', price => { currency => 'gems', amount => 3 } },
        ], rewards => [ map { my $t = $_; (reward("r$t", $t, 'free'), reward("g$t", $t, 'gold'), reward("s$t", $t, 'silver'), reward("b$t", $t, 'bronze')) } 1 .. 3 ]));
    my @players = map { $s->fresh_player } 1 .. 3;
    my $inside = iso_time($now - 4000);
    grant($s, $players[0], 250, season => 'left', occurred_at => $inside);
    give_pass($players[0], $_, 'left') for qw(gold silver bronze);
    claim($players[0], [qw(r1 g1 s1)], season => 'left');
    grant($s, $players[1], 150, season => 'left', occurred_at => $inside);
    grant($s, $players[2], 350, season => 'left', occurred_at => $inside);
    claim($players[2], 'all', season => 'left');
    my $sent = sub { return [ sort map { "$_->{kind} $_->{item} $_->{quantity}" } @{ $s->economy(GET => "/sandbox/players/$_[0]")->{json}{deliveries} } ] };
    my @claimed_by_hand = ('item item-g1 2', 'item item-r1 2', 'item item-s1 2');
    ok($s->wait_until(6, sub { return @{ $sent->($players[0]) } == 3 }), 'claimed by hand while they were open');
    is($sent->($players[0]), \@claimed_by_hand, 'and nothing else');
    sleep($now + 8.1 - time) if time < $now + 8.1;
    ok($s->wait_until(45, sub { return @{ $sent->($players[0]) } >= 5 && @{ $sent->($players[1]) } >= 1 }), 'the steward claims the rest');
    sleep 2;
    is($sent->($players[0]), [ sort @claimed_by_hand, 'currency dust 7', 'item item-r2 3' ], 'as each pass has it: claimed, converted, forfeited');
    is($sent->($players[1]), ['item item-r1 2'], 'free only');
    is($sent->($players[2]), [ map { "item item-r$_ " . ($_ + 1) } 1 .. 3 ], 'nothing was left here');
    is([ grep { /^[sb]2$/ } @{ standing($players[0], 'left')->{claimed} } ], [], 'what is forfeited is not claimed');
    my ($doubled) = $s->db->selectrow_array('SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE season_id = ? GROUP BY player_id, reward_id HAVING COUNT(*) > 1) AS d',
        undef, 'left');
    is($doubled, 0, 'no reward has two deliveries');
};

done_testing;
