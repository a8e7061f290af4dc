#!/usr/bin/perl
# XP grants, single and in batches, and the ledger: members, tiers crossed, idempotency, roles, order, filters and pages.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

my $s = Battlepass::Stack->shared;
my $season = $s->season;
my $document = season_document();
my @thresholds = do { my $sum = 0; map { $sum += $_->{xp} } @{ $document->{tiers} } };
my $moment = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;
my $uuid = qr/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;

sub tiers_between {
    my ($before, $after) = @_;
    return [ map {
        my $tier = $_;
        { tier => $tier, unlocked => [ map { $_->{reward} } grep { $_->{tier} == $tier && $_->{pass} eq 'free' } @{ $document->{rewards} } ] }
    } $before + 1 .. $after ];
}

sub tier_of {
    my ($xp) = @_;
    return scalar grep { $_ <= $xp } @thresholds;
}

sub entry {
    my ($player, $amount, %more) = @_;
    return { player => $player, amount => $amount, source => 'match', idempotency_key => fresh_key(), %more };
}

subtest 'one grant: every member' => sub {
    my $player = $s->fresh_player;
    my $xp = 0;
    my $revision = 0;
    my %seen;
    for my $amount (1, 980, 18, 1, 1020, 5000, 1, 100_000) {
        my $before = time;
        my $answer = grant($s, $player, $amount);
        is($answer->{status}, 201, "$amount: status");
        is($answer->{headers}{'content-type'}, 'application/json', "$amount: content type");
        is($answer->{headers}{'idempotent-replayed'}, undef, "$amount: no replay");
        is($answer->{json}, hash {
            field grant => match $uuid;
            field player => $player;
            field season => $season;
            field amount => $amount;
            field xp_before => $xp;
            field xp_after => $xp + $amount;
            field tier_before => tier_of($xp);
            field tier_after => tier_of($xp + $amount);
            field tiers => tiers_between(tier_of($xp), tier_of($xp + $amount));
            field revision => '' . ++$revision;
            field granted_at => match $moment;
            etc;
        }, "$amount: members");
        like($answer->{body}, qr/"revision":"$revision"/, "$amount: a revision is a string");
        ok(iso_time($before - 1) le $answer->{json}{granted_at} && $answer->{json}{granted_at} le iso_time(time + 1), "$amount: granted_at is now");
        ok(!$seen{ $answer->{json}{grant} }++, "$amount: an id of its own");
        $xp += $amount;
        my $progress = progress($s, $player)->{json};
        is([ @$progress{qw(xp revision)} ], [ $xp, "$revision" ], "$amount: and it is seen at once");
    }
};

subtest 'the smallest and the largest amount' => sub {
    my $player = $s->fresh_player;
    is(grant($s, $player, 1)->{json}{xp_after}, 1, 'one');
    my $answer = grant($s, $player, 1_000_000_000)->{json};
    is($answer->{xp_after}, 1_000_000_001, 'a milliard');
    is($answer->{tier_after}, scalar @thresholds, 'the last tier');
    is(scalar @{ $answer->{tiers} }, scalar @thresholds, 'every tier is reported');
    my $more = grant($s, $player, 5)->{json};
    is([ @$more{qw(xp_after tier_before tier_after)} ], [ 1_000_000_006, (scalar @thresholds) x 2 ], 'XP past the last tier counts');
    is($more->{tiers}, [], 'and no tier is reported again');
};

subtest 'a replay gives the first answer, byte for byte' => sub {
    my $player = $s->fresh_player;
    my $occurred = iso_time(time - 60);
    my %bodies = (
        plain => {},
        tags => { tags => ['b', 'a', 'mode:ranked'] },
        'no tags' => { tags => [] },
        occurred => { occurred_at => $occurred, source => 'quest/daily' },
    );
    for my $name (sort keys %bodies) {
        my $key = fresh_key();
        my $first = grant($s, $player, 1500, key => $key, %{ $bodies{$name} });
        is($first->{status}, 201, "$name: the first");
        grant($s, $player, 333);
        my $rows = fingerprint($s);
        for (1 .. 5) {
            my $again = grant($s, $player, 1500, key => $key, %{ $bodies{$name} });
            is($again->{status}, 201, "$name: the same status");
            is($again->{body}, $first->{body}, "$name: the same bytes");
            is($again->{headers}{'idempotent-replayed'}, 'true', "$name: marked");
            is($again->{headers}{'content-type'}, $first->{headers}{'content-type'}, "$name: the same content type");
        }
        is(fingerprint($s), $rows, "$name: nothing changed");
    }
    is(progress($s, $player)->{json}{xp}, 4 * 1833, 'each counted once');
};

subtest 'who repeats does not matter, nor how the body is written' => sub {
    my $player = $s->fresh_player;
    my $key = fresh_key();
    my $path = "/v1/seasons/$season/players/$player/xp-grants";
    my %headers = ('Idempotency-Key' => $key);
    my $first = api($s, 'POST', $path, { $s->as('server'), %headers }, '{"amount":7,"source":"match","tags":["x"]}');
    is($first->{status}, 201, 'the first');
    for my $text ('{ "source" : "match", "tags":[ "x" ],"amount" : 7 }', '{"amount":7,"source":"m\u0061tch","tags":["x"]}') {
        my $again = api($s, 'POST', $path, { $s->as('server', 'another-server'), %headers }, $text);
        is($again->{status}, 201, "$text: status");
        is($again->{body}, $first->{body}, "$text: the first answer");
    }
    is(api($s, 'POST', "/v1/seasons/current/players/$player/xp-grants", { $s->as('server'), %headers },
        '{"amount":7,"source":"match","tags":["x"]}')->{body}, $first->{body}, 'by the name current');
};

subtest 'a key with another body' => sub {
    my $player = $s->fresh_player;
    my $key = fresh_key();
    grant($s, $player, 10, key => $key, tags => ['a'], occurred_at => '2026-02-01T00:00:00Z');
    my $rows = fingerprint($s);
    my %other = (
        amount => [11, tags => ['a'], occurred_at => '2026-02-01T00:00:00Z'],
        source => [10, source => 'quest', tags => ['a'], occurred_at => '2026-02-01T00:00:00Z'],
        tags => [10, tags => ['b'], occurred_at => '2026-02-01T00:00:00Z'],
        'more tags' => [10, tags => ['a', 'b'], occurred_at => '2026-02-01T00:00:00Z'],
        'no tags' => [10, occurred_at => '2026-02-01T00:00:00Z'],
        occurred => [10, tags => ['a'], occurred_at => '2026-02-01T00:00:01Z'],
        'no occurred' => [10, tags => ['a']],
    );
    for my $name (sort keys %other) {
        my ($amount, %more) = @{ $other{$name} };
        is_problem(grant($s, $player, $amount, key => $key, %more), 422, 'idempotency_key_reused', $name);
    }
    is(fingerprint($s), $rows, 'nothing changed');
    my $neighbour = grant($s, $s->fresh_player, 99, key => $key);
    is($neighbour->{status}, 201, 'another player may have the same key');
    is($neighbour->{headers}{'idempotent-replayed'}, undef, 'and it is no replay');
};

subtest 'keys: without, too long, and every character' => sub {
    my $player = $s->fresh_player;
    my $rows = fingerprint($s);
    is_problem(grant($s, $player, 1, key => undef), 400, 'missing_idempotency_key', 'without');
    for my $bad ('', 'k' x 129, 'a b', "caf\xc3\xa9") {
        my $answer = grant($s, $player, 1, key => $bad);
        is($answer->{status}, 400, 'not "' . substr($bad, 0, 10) . '"');
        like($answer->{json}{code}, qr/^(missing_idempotency_key|invalid_field)$/, 'and says so');
    }
    is(fingerprint($s), $rows, 'nothing changed');
    my $all = join '', map { chr } 0x21 .. 0x7e;
    for my $good ('k' x 128, 'k', $all, lc($all), "'; DROP TABLE xp_grant; --" =~ tr/ /_/r) {
        my $answer = grant($s, $player, 1, key => $good);
        is($answer->{status}, 201, "taken: $good") or diag($answer->{body});
        is(grant($s, $player, 1, key => $good)->{body}, $answer->{body}, 'and known again');
    }
    is(grant($s, $player, 1, key => 'K')->{headers}{'idempotent-replayed'}, undef, 'letter case matters');
    is([ sort map { $_->{idempotency_key} } @{ ledger($s, $player) } ], [ sort 'k' x 128, 'k', $all, lc $all, "';_DROP_TABLE_xp_grant;_--", 'K' ],
        'the ledger shows each');
};

subtest 'who may grant' => sub {
    my $player = $s->fresh_player;
    is(grant($s, $player, 1, as => [$_])->{status}, 201, "a $_") for qw(server support admin);
    my $rows = fingerprint($s);
    is_problem(grant($s, $player, 1, as => [$_]), 403, 'role_not_allowed', "a $_") for qw(viewer designer);
    for my $name ($player, 'me') {
        my $answer = grant($s, $name, 1, as => [player => $player]);
        is_problem($answer, 403, 'role_not_allowed', "the player itself, as $name");
    }
    is(grant($s, $player, 1, as => [player => 'p-1'])->{status}, 403, 'another player');
    is_problem(batch($s, [ entry($player, 1) ], as => [$_ => $player]), 403, 'role_not_allowed', "a batch of a $_") for qw(player viewer support designer);
    is(fingerprint($s), $rows, 'nothing changed');
    is(statuses(batch($s, [ entry($player, 1) ])), { granted => 1 }, 'a batch of a server');
};

subtest 'a batch of one is a grant' => sub {
    my $player = $s->fresh_player;
    my $entry = entry($player, 1000, tags => ['t']);
    my $answer = batch($s, [$entry]);
    is($answer->{status}, 200, 'status');
    is($answer->{json}{results}, [ hash {
        field status => 'granted';
        field grant => match $uuid;
        field player => $player;
        field season => $season;
        field amount => 1000;
        field xp_before => 0;
        field xp_after => 1000;
        field tier_before => 0;
        field tier_after => 1;
        field tiers => tiers_between(0, 1);
        field revision => '1';
        field granted_at => match $moment;
        etc;
    } ], 'members');
    my $single = grant($s, $player, 1000, key => $entry->{idempotency_key}, tags => ['t']);
    is($single->{headers}{'idempotent-replayed'}, 'true', 'the single call knows the key');
    my %members = %{ $answer->{json}{results}[0] };
    delete @members{qw(status idempotency_key)};
    is($single->{json}, \%members, 'and says what the batch said');
};

subtest 'a batch of 500, good and bad, in order' => sub {
    my @players = map { $s->fresh_player } 1 .. 50;
    my $known = fresh_key();
    my $first = grant($s, $players[0], 5, key => $known)->{json};
    my (@grants, @expect, %xp, %done);
    $xp{ $players[0] } = 5;
    my %bad = (
        amount_zero => [sub { entry($_[0], 0) }, 'invalid_field', 'amount'],
        amount_negative => [sub { entry($_[0], -5) }, 'invalid_field', 'amount'],
        amount_large => [sub { entry($_[0], 1_000_000_001) }, 'invalid_field', 'amount'],
        amount_text => [sub { entry($_[0], "12x") }, 'invalid_field', 'amount'],
        source => [sub { entry($_[0], 1, source => 'a b') }, 'invalid_field', 'source'],
        player => [sub { entry('a/b', 1) }, 'invalid_field', 'player'],
        tags => [sub { entry($_[0], 1, tags => 'x') }, 'invalid_field', 'tags'],
        unknown => [sub { entry($_[0], 1, bonus => 1) }, 'unknown_field', 'bonus'],
        future => [sub { entry($_[0], 1, occurred_at => '2035-01-01T00:00:00Z') }, 'invalid_field', 'occurred_at'],
    );
    my @bad = sort keys %bad;
    for my $i (0 .. 499) {
        my $player = $players[$i % @players];
        if ($i % 10 == 3) {
            my ($make, $code, $field) = @{ $bad{ $bad[$i / 10 % @bad] } };
            push @grants, $make->($player);
            push @expect, hash { field status => 'rejected'; field code => $code; field detail => T;
                field errors => array { item hash { field pointer => "/grants/$i/$field"; field code => T; etc }; end }; etc };
        } elsif ($i % 50 == 7) {
            push @grants, { player => $players[0], amount => 5, source => 'match', idempotency_key => $known };
            push @expect, hash { field status => 'replayed'; field grant => $first->{grant}; field xp_after => 5; field revision => $first->{revision}; etc };
        } elsif ($i % 10 == 9) {
            push @grants, { %{ $grants[$i - 1] } };
            push @expect, hash { field status => 'replayed'; field player => $grants[$i]{player}; field xp_after => $xp{ $grants[$i]{player} }; etc };
        } elsif ($i % 50 == 10) {
            push @grants, { %{ $grants[$i - 2] }, amount => 999 };
            push @expect, hash { field status => 'rejected'; field code => 'idempotency_key_reused'; field player => $grants[$i]{player}; etc };
        } else {
            push @grants, entry($player, $i + 1);
            my $before = $xp{$player} // 0;
            $xp{$player} = $before + $i + 1;
            push @expect, hash { field status => 'granted'; field player => $player; field amount => $i + 1; field xp_before => $before;
                field xp_after => $xp{$player}; etc };
            $done{$i} = 1;
        }
    }
    my $answer = batch($s, \@grants);
    is($answer->{status}, 200, 'status');
    is($answer->{json}{results}, \@expect, '500 results in order');
    is([ map { progress($s, $_)->{json}{xp} } @players ], [ map { $xp{$_} // 0 } @players ], 'each player has what was granted');
    my $again = batch($s, \@grants);
    is([ map { $again->{json}{results}[$_]{status} } sort { $a <=> $b } keys %done ], [ ('replayed') x keys %done ], 'sent again, all that was granted is replayed');
    for my $i (sort { $a <=> $b } keys %done) {
        my %one = %{ $answer->{json}{results}[$i] };
        my %two = %{ $again->{json}{results}[$i] };
        delete $_->{status} for \%one, \%two;
        is(\%two, \%one, "entry $i: the same answer") or last;
    }
    is([ map { progress($s, $_)->{json}{xp} } @players ], [ map { $xp{$_} // 0 } @players ], 'and nothing was added');
};

subtest 'a batch: sizes, and what is no batch' => sub {
    my @players = map { $s->fresh_player } 1 .. 500;
    my $answer = batch($s, [ map { entry($_, 3) } @players ]);
    is([ map { "$_->{player} $_->{xp_after}" } @{ $answer->{json}{results} } ], [ map { "$_ 3" } @players ], '500 players');
    my $player = $s->fresh_player;
    $answer = batch($s, [ map { entry($player, 20) } 1 .. 500 ]);
    is([ map { $_->{revision} } @{ $answer->{json}{results} } ], [ 1 .. 500 ], 'one player 500 times: each revision once, in order');
    is($answer->{json}{results}[499]{xp_after}, 10_000, 'and the sum');
    is([ map { map { $_->{tier} } @{ $_->{tiers} } } @{ $answer->{json}{results} } ], [ 1 .. tier_of(10_000) ], 'and every tier once');
    my $rows = fingerprint($s);
    my $path = "/v1/seasons/$season/xp-grants";
    is_problem(batch($s, []), 400, 'invalid_field', 'empty', pointer => '/grants');
    is_problem(batch($s, [ map { entry($player, 1) } 1 .. 501 ]), 400, 'invalid_field', '501', pointer => '/grants');
    is_problem(api($s, 'POST', $path, { $s->as('server') }, { grants => {} }), 400, 'invalid_field', 'an object', pointer => '/grants');
    is_problem(api($s, 'POST', $path, { $s->as('server') }, {}), 400, 'invalid_field', 'nothing', pointer => '/grants');
    is_problem(api($s, 'POST', $path, { $s->as('server') }, { grants => [ entry($player, 1) ], more => 1 }), 400, 'unknown_field', 'more', pointer => '/more');
    is(statuses(batch($s, [ 1, undef, 'x', [], {}, { player => $player } ])), { rejected => 6 }, 'entries that are none are rejected one by one');
    is(statuses(batch($s, [ { player => $player, amount => 1, source => 'm' } ])), { rejected => 1 }, 'an entry without a key');
    is(fingerprint($s), $rows, 'nothing changed');
};

subtest 'the ledger: members, newest first' => sub {
    my $player = $s->fresh_player;
    is(api($s, 'GET', "/v1/seasons/$season/players/$player/xp-grants", { $s->as('server') })->{json}, { items => [] }, 'empty');
    my $occurred = iso_time(time - 3600);
    my @granted = map { grant($s, $player, 600, source => "s-$_", tags => ["t-$_", 'all'], occurred_at => $occurred)->{json} } 1 .. 5;
    my $items = ledger($s, $player);
    is([ map { $_->{grant} } @$items ], [ map { $_->{grant} } reverse @granted ], 'newest first');
    is($items->[0], hash {
        field $_ => $granted[4]{$_} for qw(grant player season amount xp_before xp_after tier_before tier_after tiers revision granted_at);
        field source => 's-5';
        field tags => [ 't-5', 'all' ];
        field occurred_at => $occurred;
        etc;
    }, 'what the grant said, and source, tags and occurred_at');
    my $plain = grant($s, $player, 1)->{json};
    is(ledger($s, $player)->[0], hash { field tags => []; field occurred_at => $plain->{granted_at}; etc }, 'without tags and occurred_at');
};

subtest 'the ledger: who may read' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 5);
    my $path = "/v1/seasons/$season/players/$player/xp-grants";
    for my $as (['server'], ['viewer'], ['support'], ['designer'], ['admin'], [player => $player]) {
        my $answer = api($s, 'GET', $path, { $s->as(@$as) });
        is([ $answer->{status}, scalar @{ $answer->{json}{items} // [] } ], [200, 1], "$as->[0]");
    }
    is(api($s, 'GET', "/v1/seasons/$season/players/me/xp-grants", { $s->as(player => $player) })->{json}{items}[0]{amount}, 5, 'me');
    is_problem(api($s, 'GET', $path, { $s->as(player => "$player-2") }), 403, 'not_your_data', 'another player');
    is_problem(api($s, 'GET', $path, {}), 401, 'token_missing', 'nobody');
    like(api($s, 'GET', $path, { $s->as('server') })->{headers}{'cache-control'}, qr/private|no-store/, 'not for shared caches');
};

subtest 'the ledger: pages' => sub {
    my $player = $s->fresh_player;
    batch($s, [ map { entry($player, $_) } 1 .. 230 ]);
    my $path = "/v1/seasons/$season/players/$player/xp-grants";
    my $get = sub { return api($s, 'GET', "$path?$_[0]", { $s->as('server') }) };
    my %sizes = ('' => 50, 'page_size=1' => 1, 'page_size=200' => 200, 'page_size=201' => 200, 'page_size=1000000' => 200, 'page_size=7' => 7);
    for my $query (sort keys %sizes) {
        is(scalar @{ $get->($query)->{json}{items} }, $sizes{$query}, "'$query' gives $sizes{$query}");
    }
    for my $query ('page_size=x', 'page_size=-1', 'page_size=', 'page_size=1.5', 'page_size=99999999999999999999') {
        my $answer = $get->($query);
        ok($answer->{status} == 400 && $answer->{json}{code} eq 'invalid_field' || $answer->{status} == 200 && @{ $answer->{json}{items} } <= 200,
            "$query: refused or coerced");
    }
    for my $size (1, 49, 115, 200) {
        is([ map { $_->{amount} } @{ ledger($s, $player, page_size => $size) } ], [ reverse 1 .. 230 ], "pages of $size hold everything once");
    }
    my $page = $get->('page_size=230');
    is([ scalar @{ $page->{json}{items} }, defined $page->{json}{next} ], [200, T], '230 are cut to 200, with a next');
    my ($target) = ($page->{headers}{link} // '') =~ /^<([^>]+)>; rel="?next"?$/;
    ok($target, 'a Link header') or return;
    my $second = $s->get($target =~ s{^https?://[^/]+}{}r, { $s->as('server') });
    is([ map { $_->{amount} } @{ $second->{json}{items} } ], [ reverse 1 .. 30 ], 'which leads on');
    ok(!exists $second->{json}{next}, 'no next at the end');
    is($second->{headers}{link}, undef, 'nor a Link');
    ok(!exists $get->('page_size=200&cursor=' . $get->('page_size=30')->{json}{next})->{json}{next}, 'no next where the last page is just full');
    # What is granted meanwhile belongs before the cursor.
    my $first = $get->('page_size=100')->{json};
    batch($s, [ map { entry($player, 1000 + $_) } 1 .. 20 ]);
    my $rest = $get->("page_size=200&cursor=$first->{next}")->{json};
    is([ map { $_->{amount} } @{ $rest->{items} } ], [ reverse 1 .. 130 ], 'nothing twice and nothing left out while grants are made');
    for my $bad ('x', '0', '-1', "'", 'a' x 300, substr($first->{next}, 0, -1)) {
        is_problem($get->("cursor=$bad"), 400, 'invalid_field', "cursor $bad", pointer => '/query/cursor');
    }
};

subtest 'the ledger: filters' => sub {
    my $player = $s->fresh_player;
    my (@granted, @gaps);
    for my $i (1 .. 12) {
        push @granted, grant($s, $player, $i, source => $i % 2 ? 'match' : 'quest', tags => [ "n$i", $i % 3 ? 'some' : 'third' ])->{json};
        sleep 0.01;
        push @gaps, iso_time(time);
        sleep 0.01;
    }
    my $amounts = sub { return [ reverse map { $_->{amount} } @{ ledger($s, $player, query => $_[0], page_size => $_[1] // 200) } ] };
    my @cases = (
        ['source=match', [ grep { $_ % 2 } 1 .. 12 ]],
        ['source=quest', [ grep { !($_ % 2) } 1 .. 12 ]],
        ['source=nothing', []],
        ['source=matc', []],
        ['source=MATCH', []],
        ['tag=third', [3, 6, 9, 12]],
        ['tag=some', [1, 2, 4, 5, 7, 8, 10, 11]],
        ['tag=n7', [7]],
        ['tag=n1', [1]],
        ['tag=thir', []],
        ['tag=_third', []],
        ['source=quest&tag=third', [6, 12]],
        ["from=$gaps[3]", [5 .. 12]],
        ["to=$gaps[3]", [1 .. 4]],
        ["from=$gaps[2]&to=$gaps[8]", [4 .. 9]],
        ["from=$gaps[8]&to=$gaps[2]", []],
        ["from=$gaps[2]&to=$gaps[8]&source=match&tag=some", [5, 7]],
        ['from=' . $gaps[3] =~ s/Z$/%2B00:00/r, [5 .. 12]],
    );
    for my $case (@cases) {
        my ($query, $expect) = @$case;
        is($amounts->($query), $expect, $query);
        is($amounts->($query, 2), $expect, "$query, in pages of 2") if @$expect > 2;
    }
    my $answer = api($s, 'GET', "/v1/seasons/$season/players/$player/xp-grants?source=quest&page_size=1", { $s->as('server') });
    like($answer->{headers}{link}, qr/source=quest/, 'the Link keeps the filter');
    for my $bad ('from=yesterday', 'to=2026-13-01T00:00:00Z', 'from=', 'source=a%20b', 'source=%25', 'source=', 'tag=' . 'x' x 65) {
        my ($name) = $bad =~ /^(\w+)/;
        is_problem(api($s, 'GET', "/v1/seasons/$season/players/$player/xp-grants?$bad", { $s->as('server') }), 400, 'invalid_field', $bad,
            pointer => "/query/$name");
    }
};

subtest 'source and tags: every character, most and too many' => sub {
    my $player = $s->fresh_player;
    my $long = 'A-Za-z0-9._-:/' . 'x' x 50;
    my $answer = grant($s, $player, 1, source => $long, tags => [$long]);
    is($answer->{status}, 201, 'the longest source and tag') or diag($answer->{body});
    is(ledger($s, $player)->[0], hash { field source => $long; field tags => [$long]; etc }, 'are kept as they are');
    my $rows = fingerprint($s);
    for my $bad ([source => "${long}x"], [source => ''], [source => "\x{e9}"], [source => 5], [source => undef], [source => ['m']]) {
        is_problem(grant($s, $player, 1, @$bad), 400, 'invalid_field', 'source ' . ($bad->[1] // 'null'), pointer => '/source');
    }
    for my $bad ([''], ["${long}x"], ['a b'], [1], [['a']], [undef]) {
        is_problem(grant($s, $player, 1, tags => $bad), 400, 'invalid_field', 'a tag', pointer => '/tags/0');
    }
    is_problem(grant($s, $player, 1, tags => [ map { "t$_" } 1 .. 5000 ]), 400, 'invalid_field', '5,000 tags', pointer => '/tags');
    is(fingerprint($s), $rows, 'nothing changed');
};

subtest 'many seasons at once' => sub {
    # Ended, with their late window open: they are no current season for the other tests.
    my $now = time;
    my @seasons = map { "g-$$-$_" } 1 .. 4;
    for my $i (0 .. $#seasons) {
        publish_season($s, small_season($seasons[$i], starts_at => iso_time($now - 90_000), purchase_closes_at => iso_time($now - 4000),
            ends_at => iso_time($now - 3600), late_window_s => 86_400, tiers => [ map { { tier => $_, xp => 10 * ($i + 1) } } 1 .. 10 ]));
    }
    my $player = $s->fresh_player;
    my $key = fresh_key();
    my $late = iso_time($now - 5000);
    my @answers = map { grant($s, $player, 40, season => $_, key => $key, occurred_at => $late) } @seasons;
    is([ map { $_->{status} } @answers ], [ (201) x 4 ], 'the same key in each season');
    is([ map { $_->{headers}{'idempotent-replayed'} } @answers ], [ (undef) x 4 ], 'is no replay');
    is([ map { $_->{json}{tier_after} } @answers ], [4, 2, 1, 1], 'each by its own tiers');
    is([ map { $_->{json}{revision} } @answers ], [ ('1') x 4 ], 'and revision');
    for my $i (0 .. 3) {
        my $json = progress($s, $player, season => $seasons[$i])->{json};
        is([ @$json{qw(season xp tier)} ], [ $seasons[$i], 40, (4, 2, 1, 1)[$i] ], "progress in $seasons[$i]");
        is([ map { $_->{season} } @{ ledger($s, $player, season => $seasons[$i]) } ], [ $seasons[$i] ], "ledger of $seasons[$i]");
        is(statuses(batch($s, [ map { entry($player, 1, occurred_at => $late) } 1 .. 3 ], season => $seasons[$i])), { granted => 3 }, 'a batch');
    }
    is(progress($s, $player)->{json}{xp}, 0, 'nothing in another season');
    is(ledger($s, $player), [], 'nor in its ledger');
};

done_testing;
