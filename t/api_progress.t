#!/usr/bin/perl
# GET .../progress and POST progress:lookup: every member and header of the contract, who may read, and that a read writes
# nothing.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;

my $s = Battlepass::Stack->shared;
my $season = $s->season;
my $document = season_document();
my @thresholds = do { my $sum = 0; map { $sum += $_->{xp} } @{ $document->{tiers} } };
my $time = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;

ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

# The rewards of the reached tiers on these passes, without what overflow gives.
sub rewards_to {
    my ($tier, @passes) = @_;
    my %owned = map { $_ => 1 } @passes;
    return sort map { $_->{reward} } grep { $_->{tier} <= $tier && $owned{ $_->{pass} } } @{ $document->{rewards} };
}

sub lookup {
    my ($players, @as) = @_;
    return api($s, 'POST', "/v1/seasons/$season/progress:lookup", { $s->as(@as ? @as : 'server') }, { players => $players });
}

subtest 'a player who never earned anything' => sub {
    my $player = $s->fresh_player;
    for my $from ('store', 'cache') {
        my $answer = progress($s, $player);
        is($answer->{status}, 200, "$from: status");
        is(timing($answer), $from, "$from: Server-Timing");
        is($answer->{json}, hash {
            field player => $player;
            field season => $season;
            field revision => '0';
            field xp => 0;
            field tier => 0;
            field tier_count => scalar @thresholds;
            field xp_into_tier => 0;
            field xp_to_next_tier => $thresholds[0];
            field completed => JSON::PP::false;
            field passes => [ { pass => 'free' } ];
            field claimable => [];
            field claimed => [];
            field season_revision => match qr/\A[1-9]\d*\z/;
            field updated_at => U;
            etc;
        }, "$from: members");
        like($answer->{body}, qr/"revision":"0"/, "$from: a revision is a string");
        like($answer->{body}, qr/"xp":0[,}]/, "$from: XP is a number");
        like($answer->{body}, qr/"completed":false/, "$from: completed is a boolean");
    }
};

subtest 'members follow the XP' => sub {
    my $player = $s->fresh_player;
    my $xp = 0;
    my $revision = 0;
    # Just below, at and just above thresholds, and far on.
    for my $target ($thresholds[0] - 1, $thresholds[0], $thresholds[0] + 1, $thresholds[4] - 1, $thresholds[4], $thresholds[41] + 7, $thresholds[-1] - 1) {
        my $granted = grant($s, $player, $target - $xp);
        is($granted->{status}, 201, "granted up to $target") or return;
        ($xp, $revision) = ($target, $revision + 1);
        my $tier = grep { $_ <= $xp } @thresholds;
        my $base = $tier ? $thresholds[$tier - 1] : 0;
        my $json = progress($s, $player)->{json};
        is($json, hash {
            field xp => $xp;
            field revision => "$revision";
            field tier => $tier;
            field xp_into_tier => $xp - $base;
            field xp_to_next_tier => $thresholds[$tier] - $xp;
            field completed => JSON::PP::false;
            field updated_at => $granted->{json}{granted_at};
            etc;
        }, "at $xp XP");
        is([ sort @{ $json->{claimable} } ], [ rewards_to($tier, 'free') ], "at $xp XP: claimable");
        like($json->{updated_at}, $time, "at $xp XP: updated_at");
    }
    grant($s, $player, 1);
    my $json = progress($s, $player)->{json};
    is($json->{tier}, scalar @thresholds, 'the last tier');
    is($json->{completed}, T, 'completed');
    is($json->{xp_to_next_tier}, 0, 'nothing left to the next tier');
    is([ sort @{ $json->{claimable} } ], [ rewards_to(scalar @thresholds, 'free') ], 'every free reward is claimable');
};

subtest 'passes owned and rewards claimed' => sub {
    my $player = $s->fresh_player;
    my $db = $s->db;
    my $since = 1_760_000_000_123;
    my ($claim) = grep { $_->{pass} eq 'premium' && $_->{tier} <= 5 } @{ $document->{rewards} };
    $db->do('INSERT INTO progress (player_id, season_id, xp, revision, pass_count, claim_count, updated_at_ms) VALUES (?, ?, ?, 3, 1, 1, ?)',
        undef, $player, $season, $thresholds[9], $since);
    $db->do('INSERT INTO pass_ownership (player_id, season_id, pass_id, since_ms) VALUES (?, ?, ?, ?)', undef, $player, $season, 'premium-plus', $since);
    $db->do('INSERT INTO claim (player_id, season_id, tier, pass_id, reward_id, claimed_at_ms) VALUES (?, ?, ?, ?, ?, ?)', undef, $player, $season, @$claim{qw(tier pass reward)}, $since);
    for my $from ('store', 'cache') {
        my $answer = progress($s, $player);
        is(timing($answer), $from, "$from: Server-Timing");
        my %passes = map { $_->{pass} => $_ } @{ $answer->{json}{passes} };
        is($passes{free}, { pass => 'free' }, "$from: the free pass");
        is($passes{'premium-plus'}{since}, iso_time($since / 1000), "$from: the pass that was bought, and since when");
        ok($passes{premium}, "$from: the pass that it includes");
        is($answer->{json}{claimed}, [ $claim->{reward} ], "$from: claimed");
        is([ sort @{ $answer->{json}{claimable} } ], [ grep { $_ ne $claim->{reward} } rewards_to(10, 'free', 'premium', 'premium-plus') ],
            "$from: claimable is what was reached and not claimed");
        is($answer->{json}{revision}, '3', "$from: revision");
    }
    my $granted = grant($s, $player, $thresholds[10] - $thresholds[9])->{json};
    is([ sort @{ $granted->{tiers}[0]{unlocked} } ],
        [ sort map { $_->{reward} } grep { $_->{tier} == 11 && $_->{pass} =~ /^(free|premium|premium-plus)$/ } @{ $document->{rewards} } ],
        'a grant unlocks on the passes owned');
};

subtest 'headers' => sub {
    my $player = $s->fresh_player;
    my ($store, $cache) = map { progress($s, $player) } 1 .. 2;
    for my $case ([store => $store], [cache => $cache]) {
        my ($from, $answer) = @$case;
        is(timing($answer), $from, "$from: Server-Timing");
        is($answer->{headers}{'content-type'}, 'application/json', "$from: Content-Type");
        is($answer->{headers}{'cache-control'}, 'private, no-cache', "$from: Cache-Control");
        like($answer->{headers}{etag}, qr/\A(?:W\/)?"[^"]+"\z/, "$from: ETag");
        like($answer->{headers}{'x-request-id'}, qr/\A[A-Za-z0-9._-]+\z/, "$from: X-Request-Id");
        is($answer->{headers}{'x-accel-redirect'}, undef, "$from: nothing of the way between the lanes is seen");
    }
    is($cache->{body}, $store->{body}, 'the same bytes from the store and from the cache');
    is($cache->{headers}{etag}, $store->{headers}{etag}, 'the same ETag from the store and from the cache');
    is(progress($s, $player, headers => { 'X-Request-Id' => 'mine-1' })->{headers}{'x-request-id'}, 'mine-1', 'X-Request-Id is echoed');
    grant($s, $player, 5);
    my $after = progress($s, $player);
    isnt($after->{headers}{etag}, $store->{headers}{etag}, 'another ETag after a grant');
    ok(from_cache($after), 'the grant itself warmed the cache');
    is($after->{json}{xp}, 5, 'with what it made');
};

subtest 'If-None-Match' => sub {
    my $player = $s->fresh_player;
    for my $from ('store', 'cache') {
        # From the store: the key goes before each request.
        my $ask = sub {
            $s->redis(DEL => cache_key($s, $player)) if $from eq 'store';
            my $answer = progress($s, $player, headers => { 'If-None-Match' => $_[0] });
            is(timing($answer), $from, "$from: answered from there");
            return $answer;
        };
        my $etag = progress($s, $player)->{headers}{etag};
        progress($s, $player);
        for my $match ($etag, "\"other\", $etag", "W/$etag", '*') {
            my $answer = $ask->($match);
            is($answer->{status}, 304, "$from: 304 for $match");
            is($answer->{body}, '', "$from: no body for $match");
            is($answer->{headers}{etag}, $etag, "$from: ETag for $match");
            is($answer->{headers}{'cache-control'}, 'private, no-cache', "$from: Cache-Control for $match");
        }
        (my $bare = $etag) =~ tr/"//d;
        for my $other ('"other"', '"', '', $bare, '"' . $bare, ',,,', 'W/', 'x' x 4000) {
            is($ask->($other)->{status}, 200, "$from: 200 for " . substr $other, 0, 20);
        }
        grant($s, $player, 1);
        is($ask->($etag)->{status}, 200, "$from: 200 for what was before a grant");
    }
};

subtest 'HEAD' => sub {
    my $player = $s->fresh_player;
    for my $from ('store', 'cache') {
        my $path = "/v1/seasons/$season/players/$player/progress";
        $s->redis(DEL => cache_key($s, $player)) if $from eq 'store';
        my $head = api($s, 'HEAD', $path, { $s->as('server') });
        my $get = api($s, 'GET', $path, { $s->as('server') });
        is($head->{status}, 200, "$from: status");
        is(timing($head), $from, "$from: Server-Timing");
        is($head->{body}, '', "$from: no body");
        is($head->{headers}{$_}, $get->{headers}{$_}, "$from: $_ as for GET") for qw(content-length content-type etag cache-control);
        # A body after all would be taken for the next answer.
        is(api($s, 'GET', '/livez', {})->{status}, 200, "$from: the connection is whole");
    }
};

subtest 'me and current' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 1234);
    my $plain = progress($s, $player);
    for my $way (['me', $season], [$player, 'current'], ['me', 'current']) {
        my ($name, $where) = @$way;
        my $answer = progress($s, $name, season => $where, as => [player => $player]);
        is($answer->{status}, 200, "$where, $name: status");
        is($answer->{body}, $plain->{body}, "$where, $name: the same document");
    }
    for my $role (qw(server viewer support designer admin)) {
        my $answer = progress($s, 'me', as => [$role]);
        ok($answer->{status} >= 400 && $answer->{status} < 500, "me is not for a $role") or diag($answer->{body});
    }
};

subtest 'who may read' => sub {
    my $player = $s->fresh_player;
    progress($s, $player); # so that both the store and the cache have to ask who it is
    is(progress($s, $player, as => [$_, "$_-7"])->{status}, 200, "a $_") for qw(server viewer support designer admin);
    is(progress($s, $player, as => [player => $player])->{status}, 200, 'the player');
    for my $name ($player, $s->fresh_player) {
        is_problem(progress($s, $name, as => [player => "${player}x"]), 403, 'not_your_data', 'another player');
        is_problem(progress($s, $name, as => [player => substr $player, 0, -1]), 403, 'not_your_data', 'a prefix');
        is_problem(progress($s, $name, as => [player => uc $player]), 403, 'not_your_data', 'other letter case') if $player ne uc $player;
    }
    is_problem(api($s, 'GET', "/v1/seasons/$season/players/$player/progress", {}), 401, 'token_missing', 'nobody');
};

subtest 'letter case and every character of an id' => sub {
    my $base = $s->fresh_player;
    my @players = ("$base.A", "$base.a", 'A-Za-z0-9._-' . substr($base, -20), 'x' x 64, '.' . $base, '-', '..' . $base);
    grant($s, $players[$_], $_ + 1, key => "case-$base-$_") for 0 .. $#players;
    for my $i (0 .. $#players) {
        my ($first, $second) = map { progress($s, $players[$i])->{json} } 1 .. 2;
        is($first->{player}, $players[$i], "$players[$i]: player");
        is($second, $first, "$players[$i]: the same again");
    }
    is(progress($s, "$base.A")->{json}{xp}, 1, 'A');
    is(progress($s, "$base.a")->{json}{xp}, 2, 'a is somebody else');
};

subtest 'lookup: in the order asked' => sub {
    my @players = map { $s->fresh_player } 1 .. 200;
    my $granted = batch($s, [ map { { player => $players[$_], amount => 1000 + $_, source => 'match', idempotency_key => fresh_key() } } grep { $_ % 2 } 0 .. 199 ]);
    is(statuses($granted), { granted => 100 }, 'every other player has XP');
    progress($s, $players[$_]) for grep { $_ % 3 == 0 } 0 .. 199;
    for my $time ('some cached', 'again') {
        my $answer = lookup(\@players);
        is($answer->{status}, 200, "$time: status");
        my $results = $answer->{json}{results};
        is([ map { $_->{player} } @$results ], \@players, "$time: 200 players in order");
        is([ map { $_->{xp} } @$results ], [ map { $_ % 2 ? 1000 + $_ : 0 } 0 .. 199 ], "$time: each with its own XP");
    }
    my $results = lookup([ reverse @players[0 .. 9] ])->{json}{results};
    is($results, [ map { progress($s, $_)->{json} } reverse @players[0 .. 9] ], 'each is what a single read gives');
};

subtest 'lookup: duplicates, bad ids and nobody' => sub {
    my ($one, $two) = map { $s->fresh_player } 1 .. 2;
    grant($s, $one, 77);
    my $answer = lookup([$one, 'a b', $two, $one, '', 'x' x 65, "$one/", "\x{e4}", $one]);
    is($answer->{status}, 200, 'status');
    my $results = $answer->{json}{results};
    is(scalar @$results, 9, 'an entry for each');
    is([ map { $_->{xp} } @$results[0, 2, 3, 8] ], [77, 0, 77, 77], 'the good ones');
    for my $bad (1, 4 .. 7) {
        is($results->[$bad]{error}{code}, 'invalid_field', "entry $bad has an error");
        is($results->[$bad]{xp}, undef, "entry $bad has no progress");
    }
    ok(!exists $results->[$_]{error}, "entry $_ has no error") for 0, 2, 3, 8;
    is_problem(lookup([]), 400, 'invalid_field', 'nobody', pointer => '/players');
    is_problem(lookup([ map { "p-$_" } 1 .. 201 ]), 400, 'invalid_field', '201 players', pointer => '/players');
    is(lookup([ ('x') x 200 ])->{status}, 200, 'the same player 200 times');
    is(api($s, 'POST', '/v1/seasons/current/progress:lookup', { $s->as('server') }, { players => [$one] })->{json}{results}[0]{xp}, 77, 'current');
};

subtest 'lookup: who may' => sub {
    is(lookup(['p-1'], $_)->{status}, 200, "a $_") for qw(server viewer support designer admin);
    is_problem(lookup(['p-1'], player => 'p-1'), 403, 'role_not_allowed', 'a player, for itself');
    is_problem(api($s, 'POST', "/v1/seasons/$season/progress:lookup", {}, { players => ['p-1'] }), 401, 'token_missing', 'nobody');
};

subtest 'a read writes nothing into the database' => sub {
    my $db = $s->db;
    my $writes = sub {
        return { map { @$_ } @{ $db->selectall_arrayref(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_insert', 'Com_update', 'Com_delete', 'Com_replace', 'Com_insert_select')") } };
    };
    my @players;
    my $reads = sub {
        @players = map { $s->fresh_player } 1 .. 20;
        progress($s, $_) for @players, @players;
        progress($s, $players[0], headers => { 'If-None-Match' => '"x"' });
        lookup([ @players, map { $s->fresh_player } 1 .. 20 ]);
        api($s, 'GET', "/v1/seasons/$season/players/$players[0]/xp-grants", { $s->as('server') });
        api($s, 'GET', $_, { $s->as('server') }) for '/v1/seasons', "/v1/seasons/$season";
        return;
    };
    my ($before, $after, $rows);
    # Chores write a row now and then: of several tries one falls between two of them.
    for (1 .. 5) {
        ($before, $rows) = ($writes->(), fingerprint($s));
        $reads->();
        $after = $writes->();
        last unless grep { $after->{$_} != $before->{$_} } keys %$before;
    }
    is($after, $before, 'no statement that writes');
    is(fingerprint($s), $rows, 'no row changed');
    my ($count) = $db->selectrow_array('SELECT COUNT(*) FROM progress WHERE player_id IN (' . join(',', ('?') x @players) . ')', undef, @players);
    is($count, 0, 'and the players have no row');
};

done_testing;
