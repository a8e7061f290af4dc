#!/usr/bin/perl
# Purchases: passes, upgrades and tiers, their options and prices, each refusal, an economy that is late or hostile, and refunds. Whatever
# the economy does, a player is charged once or not at all, and owns what was bought exactly if charged.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# Its own stack: it sets the economy's faults.
my $s = Battlepass::Stack->new;
my $season = 'shop';
my $moment = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;
my $uuid = qr/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;
my $nobodys_id = '00000000-0000-7000-8000-000000000000';
my %open_state = map { $_ => 1 } qw(debiting cancelling refunding);

sub gems { return { currency => 'gems', amount => $_[0] } }

my @passes = (
    { pass => 'free', free => JSON::PP::true },
    { pass => 'gold', price => gems(950) },
    { pass => 'gold-plus', price => gems(2400), includes => ['gold'], instant_tiers => 3 },
    { pass => 'event', price => { currency => 'coins', amount => 100 } },
    { pass => 'everything', price => gems(3000), includes => [ 'event', 'gold-plus' ] },
);
my %shop = (
    tiers => [ map { { tier => $_, xp => 100 } } 1 .. 20 ], passes => \@passes, tier_price => gems(150),
    rewards => [ map { my $tier = $_; map { { reward => "$_$tier", tier => $tier, pass => { f => 'free', g => 'gold' }->{$_}, kind => 'item', item => 'x', quantity => 1 } } 'f', 'g' } 1 .. 20 ],
);
publish_season($s, small_season($season, %shop));
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

sub path {
    my ($player, $rest, $in) = @_;
    return '/v1/seasons/' . ($in // $season) . "/players/$player/$rest";
}

# As the player itself; key (undef sends none), as, season.
sub buy {
    my ($player, $what, %options) = @_;
    my $key = exists $options{key} ? $options{key} : fresh_key();
    my $as = $options{as} // [ player => $player ];
    return api($s, 'POST', path($player, 'purchases', $options{season}), { $s->as(@$as), defined $key ? ('Idempotency-Key' => $key) : () }, $what);
}

sub purchases {
    my ($player, $rest, %options) = @_;
    return api($s, 'GET', path($player, 'purchases' . ($rest // ''), $options{season}), { $s->as(@{ $options{as} // ['viewer'] }) });
}

sub options {
    my ($player, %options) = @_;
    my $answer = api($s, 'GET', path($player, 'purchase-options', $options{season}), { $s->as(@{ $options{as} // ['viewer'] }) });
    return $answer if $options{raw};
    my %by_pass = map { my %option = %$_; delete $option{pass} => \%option } @{ $answer->{json}{passes} };
    return { %by_pass, defined $answer->{json}{tiers} ? (tiers => $answer->{json}{tiers}) : () };
}

sub admin {
    my ($player, $call, %body) = @_;
    return api($s, 'POST', "/v1/admin/seasons/$season/players/$player/$call", { $s->as('support'), 'Idempotency-Key' => fresh_key() },
        { reason => 'a test', %body });
}

# A player with that many gems in the wallet.
sub rich_player {
    my ($gems) = @_;
    my $player = $s->fresh_player;
    set_wallet($player, gems => $gems // 10_000);
    $s->as(player => $player); # its token, before anything is timed
    return $player;
}

sub set_wallet {
    my ($player, $currency, $balance) = @_;
    my $answer = $s->economy(PUT => "/sandbox/wallets/$player", { currency => $currency, balance => $balance });
    return $answer->{status} < 300 || die "wallet: $answer->{status} $answer->{body}";
}

sub account {
    my ($player) = @_;
    return $s->economy(GET => "/sandbox/players/$player")->{json};
}

sub wallet {
    my ($player) = @_;
    return account($player)->{wallets}{gems};
}

sub owns {
    my ($player, $in) = @_;
    my $json = progress($s, $player, season => $in // $season)->{json};
    return [ sort grep { $_ ne 'free' } map { $_->{pass} } @{ $json->{passes} } ];
}

# Until the purchase waits for nobody any more.
sub decided {
    my ($player, $purchase, $seconds, $in) = @_;
    my $json;
    $s->wait_until($seconds // 15, sub { $json = purchases($player, "/$purchase", season => $in)->{json}; return !$open_state{ $json->{state} } });
    return $json;
}

sub timed {
    my ($code) = @_;
    my $begin = time;
    my $answer = $code->();
    return ($answer, time - $begin);
}

sub available { return { price => $_[0], available => JSON::PP::true } }
sub refused { return { price => $_[0], available => JSON::PP::false, reason => $_[1] } }

subtest 'a pass' => sub {
    my $player = rich_player(1000);
    grant($s, $player, 320, season => $season);
    my $key = fresh_key();
    my $answer = buy($player, { pass => 'gold' }, key => $key);
    is($answer->{status}, 201, 'status') or diag($answer->{body});
    is($answer->{headers}{'content-type'}, 'application/json', 'content type');
    is($answer->{headers}{'idempotent-replayed'}, undef, 'no replay');
    is($answer->{json}, hash {
        field purchase => match $uuid;
        field player => $player;
        field season => $season;
        field pass => 'gold';
        field price => gems(950);
        field state => 'granted';
        field created_at => match $moment;
        field updated_at => match $moment;
        field history => [ { state => 'debiting', at => match $moment }, { state => 'granted', at => match $moment } ];
        etc;
    }, 'members');
    ok(!exists $answer->{json}{tiers}, 'no tiers');
    my $json = progress($s, $player, season => $season)->{json};
    is($json->{passes}, [ { pass => 'free' }, { pass => 'gold', since => match $moment } ], 'owned at once');
    is([ sort @{ $json->{claimable} } ], [qw(f1 f2 f3 g1 g2 g3)], 'claimable at once');
    is($json->{xp}, 320, 'the XP is what it was');
    is([ @{ account($player) }{qw(charges refunds)}, wallet($player) ], [ 1, 0, 50 ], 'charged once');
    my $id = $answer->{json}{purchase};
    is(purchases($player, "/$id")->{json}, $answer->{json}, 'it can be read');
    is(purchases($player)->{json}, { items => [ $answer->{json} ] }, 'and stands in the list');
    for (1 .. 3) {
        my $again = buy($player, { pass => 'gold' }, key => $key);
        is([ $again->{status}, $again->{json}, $again->{headers}{'idempotent-replayed'} ], [ 201, $answer->{json}, 'true' ], 'a replay');
    }
    is(account($player)->{charges}, 1, 'that charges nothing');
    is(by_me($player)->{status}, 201, 'another, as me and current');
};

# The sample season is another active one, so it takes a name; the player may be "me".
sub by_me {
    my ($player) = @_;
    is_problem(api($s, 'POST', '/v1/seasons/current/players/me/purchases', { $s->as(player => $player), 'Idempotency-Key' => fresh_key() }, { pass => 'gold' }),
        409, 'season_ambiguous', 'two seasons are active');
    set_wallet($player, gems => 5000);
    return api($s, 'POST', path('me', 'purchases'), { $s->as(player => $player), 'Idempotency-Key' => fresh_key() }, { pass => 'gold-plus' });
}

subtest 'an upgrade pays the difference' => sub {
    my $player = rich_player(10_000);
    grant($s, $player, 150, season => $season);
    is(options($player)->{'gold-plus'}, available(gems(2400)), 'the whole price at first');
    buy($player, { pass => 'gold' });
    is(options($player), {
        gold => refused(gems(950), 'already_owned'), 'gold-plus' => available(gems(1450)), event => available({ currency => 'coins', amount => 100 }),
        everything => available(gems(2050)), tiers => { %{ available(gems(150)) }, max_tiers => 19 },
    }, 'the difference then');
    my $answer = buy($player, { pass => 'gold-plus' });
    is([ $answer->{status}, $answer->{json}{price} ], [ 201, gems(1450) ], 'paid') or diag($answer->{body});
    is([ wallet($player), account($player)->{charges} ], [ 10_000 - 2400, 2 ], 'both together cost what the dearer one does');
    is(owns($player), [qw(gold gold-plus)], 'both are owned');
    is([ @{ progress($s, $player, season => $season)->{json} }{qw(xp tier)} ], [ 450, 4 ], 'and the tiers that come with it are there');
    is(options($player)->{$_}{reason}, 'already_owned', "$_ is owned") for qw(gold gold-plus);
    is(options($player)->{everything}{price}, gems(600), 'the next pays the difference to the dearest');
    is_problem(buy($player, { pass => $_ }), 409, 'already_owned', $_) for qw(gold gold-plus);
    my $other = rich_player(10_000);
    is(buy($other, { pass => 'gold-plus' })->{status}, 201, 'the dearer one at once');
    is(wallet($other), 7600, 'for its price');
    is_problem(buy($other, { pass => 'gold' }), 409, 'already_owned', 'what it includes');
    set_wallet($other, coins => 100);
    is(buy($other, { pass => 'event' })->{json}{price}, { currency => 'coins', amount => 100 }, 'another currency');
    is([ wallet($other), account($other)->{wallets}{coins} ], [ 7600, 0 ], 'from its own wallet');
    is(options($other)->{everything}{price}, gems(600), 'a pass in another currency lowers no price');
    my $third = rich_player(10_000);
    set_wallet($third, coins => 100);
    is(buy($third, { pass => 'event' })->{status}, 201, 'only the one in another currency');
    is(options($third)->{everything}{price}, gems(3000), 'then the price is whole');
};

subtest 'tiers' => sub {
    my $player = rich_player(3000);
    grant($s, $player, 130, season => $season);
    is(options($player)->{tiers}, { %{ available(gems(150)) }, max_tiers => 19 }, 'one costs, and so many are left');
    my $answer = buy($player, { tiers => 5 });
    is($answer->{status}, 201, 'five') or diag($answer->{body});
    is($answer->{json}, hash {
        field tiers => 5;
        field price => gems(750);
        field state => 'granted';
        field pass => DNE;
        etc;
    }, 'members');
    my $json = progress($s, $player, season => $season)->{json};
    is([ @$json{qw(xp tier xp_into_tier)} ], [ 630, 6, 30 ], 'what was earned within the tier is kept');
    is([ sort @{ $json->{claimable} } ], [ sort map { "f$_" } 1 .. 6 ], 'claimable');
    is([ wallet($player), account($player)->{charges} ], [ 2250, 1 ], 'charged');
    is(options($player)->{tiers}{max_tiers}, 14, 'fewer are left');
    is_problem(buy($player, { tiers => $_ }), 409, 'too_many_tiers', "$_ of 14") for 15, 1000;
    is(buy($player, { tiers => 14 })->{status}, 201, 'all that are left');
    is([ @{ progress($s, $player, season => $season)->{json} }{qw(xp tier completed)} ], [ 2030, 20, T ], 'the last tier');
    is(options($player)->{tiers}, hash { field available => F; field reason => 'too_many_tiers'; etc }, 'none are left');
    is_problem(buy($player, { tiers => 1 }), 409, 'too_many_tiers', 'one more');
    is(account($player)->{charges}, 2, 'nothing was charged for what was refused');
    my $twice = rich_player(3000);
    is([ map { buy($twice, { tiers => 1 })->{status} } 1 .. 2 ], [ 201, 201 ], 'the same twice, with two keys');
    is([ wallet($twice), progress($s, $twice, season => $season)->{json}{tier} ], [ 2700, 2 ], 'is two purchases');
};

subtest 'tiers of different costs' => sub {
    publish_season($s, small_season('steep', tier_price => gems(1), tiers => [ { tier => 1, xp => 200 }, map { { tier => $_, xp => 50 } } 2 .. 10 ]));
    my $player = rich_player(100);
    grant($s, $player, 150, season => 'steep');
    is(buy($player, { tiers => 1 }, season => 'steep')->{status}, 201, 'from a dear tier into cheap ones');
    my $json = progress($s, $player, season => 'steep')->{json};
    is($json->{tier}, 1, 'one tier was bought, one is reached');
    cmp_ok($json->{xp}, '>=', 200, 'with XP enough for it');
    cmp_ok($json->{xp}, '<', 250, 'and too little for the next');
};

subtest 'the options' => sub {
    my $player = rich_player();
    my $answer = options($player, raw => 1);
    is($answer->{json}, {
        player => $player, season => $season,
        passes => [ map { { pass => $_->{pass}, price => $_->{price}, available => JSON::PP::true } } @passes[1 .. 4] ],
        tiers => { price => gems(150), available => JSON::PP::true, max_tiers => 20 },
    }, 'in order, without the free pass');
    is(options($player, raw => 1, as => $_)->{status}, 200, $_->[0]) for [player => $player], ['viewer'], ['support'], ['designer'], ['admin'];
    is_problem(options($player, raw => 1, as => ['server']), 403, 'role_not_allowed', 'a server');
    is_problem(options($player, raw => 1, as => [player => "$player-x"]), 403, 'not_your_data', 'another player');
    is(progress($s, $player, season => $season)->{json}{revision}, '0', 'to ask changes nothing');
    my $now = time;
    publish_season($s, small_season('later', %shop, starts_at => iso_time($now + 5000)));
    publish_season($s, small_season('sold-out', %shop, purchase_closes_at => iso_time($now - 5)));
    publish_season($s, small_season('over', %shop, starts_at => iso_time($now - 9000), purchase_closes_at => iso_time($now - 5000), ends_at => iso_time($now - 60)));
    publish_season($s, small_season('no-tiers'));
    for my $case (['later', 'season_not_active'], ['sold-out', 'purchase_closed'], ['over', 'season_not_active|purchase_closed']) {
        my ($in, $reason) = @$case;
        my $options = options($player, season => $in);
        is([ grep { $_->{available} } values %$options ], [], "$in: nothing");
        is([ grep { $_->{reason} !~ /\A(?:$reason)\z/ } values %$options ], [], "$in: $reason");
        for my $what ({ pass => 'gold' }, { tiers => 1 }) {
            my $bought = buy($player, $what, season => $in);
            is($bought->{status}, 409, "$in: refused");
            like($bought->{json}{code}, qr/\A(?:$reason)\z/, "$in: $reason");
        }
    }
    is([ sort keys %{ options($player, season => 'no-tiers') } ], ['gold'], 'a season that sells no tiers');
    is_problem(buy($player, { tiers => 1 }, season => 'no-tiers'), 409, 'not_for_sale', 'does not sell one');
    is(account($player)->{charges}, 0, 'nothing was charged');
};

subtest 'payment declined' => sub {
    my $player = rich_player(0);
    my $key = fresh_key();
    is_problem(buy($player, { pass => 'gold' }, key => $key), 402, 'payment_declined', 'an empty wallet');
    is([ owns($player), account($player)->{charges} ], [ [], 0 ], 'nothing owned, nothing charged');
    my $again = buy($player, { pass => 'gold' }, key => $key);
    is_problem($again, 402, 'payment_declined', 'a replay');
    is($again->{headers}{'idempotent-replayed'}, 'true', 'is marked');
    set_wallet($player, gems => 949);
    is_problem(buy($player, { pass => 'gold' }), 402, 'payment_declined', 'one gem too few');
    is_problem(buy($player, { pass => 'event' }), 402, 'payment_declined', 'no wallet of that currency');
    set_wallet($player, gems => 950);
    is_problem(buy($player, { pass => 'gold' }, key => $key), 402, 'payment_declined', 'the old key stays declined');
    is([ wallet($player), owns($player) ], [ 950, [] ], 'and charges nothing');
    is(buy($player, { pass => 'gold' })->{status}, 201, 'another key is another purchase');
    is([ wallet($player), owns($player) ], [ 0, ['gold'] ], 'and succeeds');
    my $items = purchases($player)->{json}{items};
    is([ map { "$_->{pass} $_->{state}" } @$items ], [ 'gold granted', 'event declined', 'gold declined', 'gold declined' ], 'all stand in the list, newest first');
    is([ map { $_->{state} } @{ $items->[3]{history} } ], [qw(debiting declined)], 'each with its history');
};

subtest 'bad input' => sub {
    my $player = rich_player();
    my $rows = fingerprint($s);
    my @bad = (
        ['a pass that does not exist', { pass => 'platinum' }, '/pass'], ['a free pass', { pass => 'free' }, '/pass'], ['letter case', { pass => 'Gold' }, '/pass'],
        ['no pass', { pass => '' }, '/pass'], ['a number', { pass => 5 }, '/pass'], ['null', { pass => undef }, '/pass'], ['a list', { pass => ['gold'] }, '/pass'],
        ['SQL', { pass => "gold' OR 1=1 -- " }, '/pass'], ['a long one', { pass => 'x' x 5000 }, '/pass'],
        ['0 tiers', { tiers => 0 }, '/tiers'], ['-1 tiers', { tiers => -1 }, '/tiers'], ['1.5 tiers', { tiers => 1.5 }, '/tiers'], ['1001 tiers', { tiers => 1001 }, '/tiers'],
        ['tiers as text', { tiers => '5' }, '/tiers'], ['very many tiers', '{"tiers":4294967297}', '/tiers'], ['more than that', '{"tiers":18446744073709551617}', '/tiers'],
        ['tiers: true', { tiers => JSON::PP::true }, '/tiers'], ['both', { pass => 'gold', tiers => 1 }], ['neither', {}],
    );
    is_problem(buy($player, $_->[1]), 400, 'invalid_field', $_->[0], defined $_->[2] ? (pointer => $_->[2]) : ()) for @bad;
    is_problem(buy($player, { pass => 'gold', $_ => 1 }), 400, 'unknown_field', "a client's $_", pointer => "/$_") for qw(price currency amount player);
    is_problem(buy($player, { pass => 'gold' }, key => undef), 400, 'missing_idempotency_key', 'without a key');
    is_problem(buy($player, '{"pass":"gold"'), 400, 'malformed_json', 'half a body');
    is(buy($player, $_)->{status}, 400, "'$_'") for '[]', '"gold"', '', 'null';
    is_problem(buy($player, { pass => 'gold' }, as => [$_]), 403, 'role_not_allowed', "a $_") for qw(server viewer support designer admin);
    is_problem(buy($player, { pass => 'gold' }, as => [player => "$player-x"]), 403, 'not_your_data', 'another player');
    is_problem(buy($player, { pass => 'gold' }, season => 'nowhere'), 404, 'season_not_found', 'no such season');
    is_problem(buy($player, { pass => 'premium' }, season => $season), 400, 'invalid_field', 'a pass of another season', pointer => '/pass');
    is(fingerprint($s), $rows, 'nothing changed');
    is(purchases($player)->{json}, { items => [] }, 'no purchase was made');
    is(account($player)->{charges}, 0, 'and nothing charged');
};

subtest 'who may read, and what is not there' => sub {
    my ($player, $other) = (rich_player(), rich_player());
    my @ids = map { buy($player, { tiers => 1 })->{json}{purchase} } 1 .. 7;
    for my $as ([player => $player], ['viewer'], ['support'], ['designer'], ['admin']) {
        is([ map { $_->{purchase} } @{ purchases($player, '', as => $as)->{json}{items} } ], [ reverse @ids ], "$as->[0]: newest first");
        is(purchases($player, "/$ids[0]", as => $as)->{json}{purchase}, $ids[0], "$as->[0]: one");
    }
    for my $rest ('', "/$ids[0]") {
        is_problem(purchases($player, $rest, as => ['server']), 403, 'role_not_allowed', "a server, '$rest'");
        is_problem(purchases($player, $rest, as => [player => $other]), 403, 'not_your_data', "another player, '$rest'");
    }
    is_problem(purchases($other, "/$ids[0]"), 404, 'purchase_not_found', "another player's purchase");
    is_problem(purchases($other, "/$ids[0]", as => [player => $other]), 404, 'purchase_not_found', 'not by its own token either');
    is_problem(purchases($player, "/$nobodys_id"), 404, 'purchase_not_found', 'nobody has it');
    is_problem(purchases($player, "/$ids[0]", season => 's1'), 404, 'purchase_not_found', 'in another season');
    for my $odd ('x', 'x' x 300, uc($ids[0]) . 'x', "$ids[0]x", substr($ids[0], 1)) {
        my $answer = purchases($player, "/$odd");
        ok($answer->{status} == 404 || $answer->{status} == 400, 'an id that is none') or diag("$odd: $answer->{status} $answer->{body}");
    }
    my ($cursor, @paged) = ('');
    while (defined $cursor) {
        my $json = purchases($player, "?page_size=3$cursor")->{json};
        push @paged, map { $_->{purchase} } @{ $json->{items} };
        $cursor = defined $json->{next} ? "&cursor=$json->{next}" : undef;
    }
    is(\@paged, [ reverse @ids ], 'by pages');
};

subtest 'an economy that answers late' => sub {
    my $player = rich_player(5000);
    my $before = progress($s, $player, season => $season)->{json};
    $s->faults({ fault => 'late', calls => 'debits', probability => 1, delay_ms => 3500, times => 1 });
    my $key = fresh_key();
    my ($answer, $seconds) = timed(sub { buy($player, { pass => 'gold' }, key => $key) });
    is($answer->{status}, 202, 'status') or diag($answer->{body});
    cmp_ok($seconds, '>', 0.7, 'after a while');
    cmp_ok($seconds, '<', 2.5, 'but not when the economy likes');
    like($answer->{json}{state}, qr/\A(?:debiting|cancelling)\z/, 'not decided');
    my $id = $answer->{json}{purchase};
    is($answer->{headers}{location} =~ s{^https?://[^/]+}{}r, path($player, "purchases/$id"), 'Location');
    is(purchases($player, "/$id")->{json}{state}, match(qr/\A(?:debiting|granted|cancelling)\z/), 'which can be read');
    my $second = buy($player, { pass => 'gold' });
    my $open_still = purchases($player, "/$id")->{json}{state} eq 'debiting';
    if ($open_still) {
        is_problem($second, 409, 'purchase_in_progress', 'another purchase of the same pass meanwhile');
    } else {
        is($second->{status}, 409, 'another purchase of the same pass');
    }
    my $final = decided($player, $id, 10);
    is($final->{state}, 'granted', 'within 10 s it is granted') or diag(join ' ', map { $_->{state} } @{ $final->{history} });
    is([ owns($player), wallet($player), account($player)->{charges} ], [ ['gold'], 4050, 1 ], 'owned and charged once');
    my $again = buy($player, { pass => 'gold' }, key => $key);
    is([ $again->{status}, $again->{json}{state}, $again->{headers}{'idempotent-replayed'} ], [ 201, 'granted', 'true' ], 'a replay says what came of it');
    cmp_ok(progress($s, $player, season => $season)->{json}{revision}, '>', $before->{revision}, 'and the progress moved');
    $s->clear_faults;
};

subtest 'while a purchase is not decided' => sub {
    my $player = rich_player(5000);
    $s->faults({ fault => 'unavailable_503', calls => 'all', probability => 1 });
    my $key = fresh_key();
    my $first = buy($player, { pass => 'gold' }, key => $key);
    is([ $first->{status}, $first->{json}{state} ], [ 202, 'debiting' ], 'open') or diag($first->{body});
    my $again = buy($player, { pass => 'gold' }, key => $key);
    is([ $again->{status}, $again->{json}{purchase}, $again->{headers}{'idempotent-replayed'} ], [ 202, $first->{json}{purchase}, 'true' ], 'the same again: still open');
    like($again->{headers}{location}, qr{/purchases/\Q$first->{json}{purchase}\E\z}, 'with the same Location');
    is_problem(buy($player, { tiers => 1 }, key => $key), 422, 'idempotency_key_reused', 'another body');
    is_problem(buy($player, { pass => 'gold' }), 409, 'purchase_in_progress', 'another key');
    is(options($player)->{gold}{reason}, 'purchase_in_progress', 'the options say why not');
    is(owns($player), [], 'nothing is owned yet');
    is_problem(api($s, 'POST', "/v1/admin/seasons/$season/players/$player/purchases/$first->{json}{purchase}/refund",
        { $s->as('support'), 'Idempotency-Key' => fresh_key() }, { reason => 'too early' }), 409, 'not_refundable', 'nor can it be refunded');
    $s->clear_faults;
    is(decided($player, $first->{json}{purchase}, 20)->{state}, 'granted', 'it is granted when the economy is back');
    is([ owns($player), wallet($player) ], [ ['gold'], 4050 ], 'once');
};

subtest 'a key in flight, and a key with another body' => sub {
    my $player = rich_player(5000);
    my $key = fresh_key();
    $s->faults({ fault => 'late', calls => 'debits', probability => 1, delay_ms => 700, times => 1 });
    my @results = $s->in_parallel(3, sub {
        my ($number) = @_;
        sleep 0.3 if $number;
        my $answer = buy($player, $number == 2 ? { pass => 'gold-plus' } : { pass => 'gold' }, key => $key);
        return [ $answer->{status}, $answer->{json}{code} // $answer->{json}{state} ];
    });
    is($results[0], [ 201, 'granted' ], 'the first');
    is($results[1], [ 409, 'idempotency_in_flight' ], 'the same key while it is served');
    is($results[2], [ 422, 'idempotency_key_reused' ], 'with another body while it is served');
    $s->clear_faults;
    is_problem(buy($player, $_, key => $key), 422, 'idempotency_key_reused', 'another body later') for { pass => 'gold-plus' }, { tiers => 1 };
    is([ account($player)->{charges}, owns($player) ], [ 1, ['gold'] ], 'charged once');
    my $other = rich_player(5000);
    is(buy($other, { pass => 'gold' }, key => $key)->{status}, 201, 'another player may have the same key');
};

# After everything has come to its end: charged exactly for what is granted, and the wallet says the same.
sub adds_up {
    my ($player, $name, $start) = @_;
    my $items = purchases($player, '?page_size=200')->{json}{items};
    is([ grep { $open_state{ $_->{state} } || $_->{state} eq 'stuck' } @$items ], [], "$name: all is decided") or return;
    my @granted = grep { $_->{state} eq 'granted' } @$items;
    my $paid = 0;
    $paid += $_->{price}{amount} for @granted;
    my $account = account($player);
    is($account->{charges} - $account->{refunds}, scalar @granted, "$name: charged for what was granted");
    is($account->{wallets}{gems}, $start - $paid, "$name: the wallet");
    my %owned = map { $_ => 1 } map { $_ eq 'gold-plus' ? ('gold', $_) : $_ } map { $_->{pass} // () } @granted;
    is(owns($player), [ sort keys %owned ], "$name: owns what was granted, and what that includes");
    return;
}

my @kinds = qw(late late_charge error_500 error_500_executed drop drop_before cut wrong_amount wrong_key rubbish huge redirect wrong_types forget down
    unavailable_503 too_many_429);

subtest 'each fault of the economy, in the debit and in what is asked after it' => sub {
    for my $kind (@kinds) {
        for my $calls ('debits', 'all') {
            my $player = rich_player(5000);
            $s->faults({ fault => $kind, calls => $calls, probability => 1, delay_ms => 2500, times => $calls eq 'all' ? 3 : 1 });
            my ($answer, $seconds) = timed(sub { buy($player, { pass => 'gold' }) });
            ok($answer->{status} == 201 || $answer->{status} == 202, "$kind in $calls: open or granted") or diag("$answer->{status} $answer->{body}");
            cmp_ok($seconds, '<', 2.5, "$kind in $calls: answered in time");
            is(progress($s, $player, season => $season)->{status}, 200, "$kind in $calls: reads go on");
            decided($player, $answer->{json}{purchase}, 30) if $answer->{json}{purchase};
            $s->clear_faults;
            adds_up($player, "$kind in $calls", 5000);
        }
    }
    my $player = rich_player(5000);
    $s->faults({ fault => 'refuse', calls => 'debits', probability => 1, times => 1 });
    is_problem(buy($player, { pass => 'gold' }), 402, 'payment_declined', 'refuse');
    $s->clear_faults;
    adds_up($player, 'refuse', 5000);
};

subtest 'all faults at once, and clients that ask again' => sub {
    my @players = map { rich_player(20_000) } 1 .. 24;
    # An economy that has forgotten a key charges it again, whatever is done here.
    $s->faults(map { { fault => $_, calls => 'all', probability => 0.08, delay_ms => 1500 } } grep { !/\A(?:down|forget)\z/ } @kinds);
    my @bad = map { @$_ } $s->in_parallel(6, sub {
        my ($number) = @_;
        my @bad;
        for my $i (map { 4 * $number + $_ } 0 .. 3) {
            for my $what ({ tiers => 1 }, { pass => 'gold' }, { tiers => 2 }, { pass => 'gold-plus' }) {
                my $key = fresh_key();
                for (1 .. 2) {
                    my $answer = buy($players[$i], $what, key => $key);
                    push @bad, "$answer->{status} $answer->{body}" unless $answer->{status} =~ /\A(?:201|202|402|409)\z/;
                }
            }
        }
        return \@bad;
    });
    is(\@bad, [], 'each answer is one of the contract');
    $s->clear_faults;
    my $end = time + 30;
    for my $player (@players) {
        $s->wait_until($end - time, sub { !grep { $open_state{ $_->{state} } } @{ purchases($player)->{json}{items} } });
        adds_up($player, $player, 20_000);
    }
    my ($status, $text) = $s->ctl('player', 'verify', '--season', $season, '--all');
    is($status, 0, 'the ledgers give what is stored') or diag($text);
};

subtest 'nothing is charged after the sale has closed' => sub {
    my $now = time;
    my $closes = $now + 6;
    publish_season($s, small_season('closing', %shop, purchase_closes_at => iso_time($closes)));
    my ($open, $late, $before) = map { rich_player(5000) } 1 .. 3;
    is(buy($before, { pass => 'gold' }, season => 'closing')->{status}, 201, 'bought in time');
    $s->faults({ fault => 'unavailable_503', calls => 'all', probability => 1 });
    my $answer = buy($open, { pass => 'gold' }, season => 'closing');
    is($answer->{status}, 202, 'begun in time, and not decided');
    ok(time < $closes, 'while it was open') or return;
    sleep $closes + 0.2 - time;
    $s->clear_faults;
    is_problem(buy($late, { pass => 'gold' }, season => 'closing'), 409, 'purchase_closed', 'begun too late');
    my $final = decided($open, $answer->{json}{purchase}, 30, 'closing');
    like($final->{state}, qr/\A(?:cancelled|declined)\z/, 'what was not charged in time is cancelled');
    is([ map { account($_)->{charges} } $open, $late ], [ 0, 0 ], 'nobody was charged after it');
    is([ map { wallet($_) } $open, $late ], [ 5000, 5000 ], 'the wallets');
    is([ owns($open, 'closing'), owns($before, 'closing') ], [ [], ['gold'] ], 'owned is what was charged');
};

subtest 'charged, and then the season was over' => sub {
    my $now = time;
    my $ends = $now + 6;
    publish_season($s, small_season('ending', %shop, purchase_closes_at => iso_time($ends), ends_at => iso_time($ends)));
    my $player = rich_player(5000);
    $s->faults({ fault => 'error_500_executed', calls => 'debits', probability => 1 }, { fault => 'unavailable_503', calls => 'lookup', probability => 1 },
        { fault => 'unavailable_503', calls => 'cancel', probability => 1 });
    my $answer = buy($player, { tiers => 1 }, season => 'ending');
    is($answer->{status}, 202, 'not decided') or diag($answer->{body});
    sleep $ends + 0.2 - time if time < $ends;
    $s->clear_faults;
    my $final = decided($player, $answer->{json}{purchase}, 30, 'ending');
    my $granted = $final->{state} eq 'granted';
    note("it came to $final->{state}");
    my $account = account($player);
    is($account->{charges} - $account->{refunds}, $granted ? 1 : 0, 'kept, or given back');
    is(wallet($player), $granted ? 4850 : 5000, 'the wallet');
    is(progress($s, $player, season => 'ending')->{json}{xp}, $granted ? 100 : 0, 'and the tier is there exactly if it was paid for');
};

subtest 'a refund' => sub {
    my $player = rich_player(10_000);
    grant($s, $player, 250, season => $season);
    my %bought = map { $_ => buy($player, { pass => $_ })->{json} } 'gold', 'gold-plus';
    my $tiers = buy($player, { tiers => 2 })->{json};
    my $refund = sub {
        my ($purchase, $key) = @_;
        return api($s, 'POST', "/v1/admin/seasons/$season/players/$player/purchases/$purchase/refund", { $s->as('support'), 'Idempotency-Key' => $key // fresh_key() },
            { reason => 'a mistake' });
    };
    my $xp = progress($s, $player, season => $season)->{json}{xp};
    is_problem($refund->($bought{gold}{purchase}), 409, 'pass_upgraded', 'not before the upgrade of it');
    my $key = fresh_key();
    my $answer = $refund->($bought{'gold-plus'}{purchase}, $key);
    is([ $answer->{status}, $answer->{json}{state} ], [ 200, 'refunded' ], 'the upgrade') or diag($answer->{body});
    is([ map { $_->{state} } @{ $answer->{json}{history} } ], [qw(debiting granted refunding refunded)], 'its history');
    is(owns($player), ['gold'], 'taken back at once');
    is(wallet($player), 10_000 - 950 - 300, 'what it had cost is back');
    my $again = $refund->($bought{'gold-plus'}{purchase}, $key);
    is([ $again->{status}, $again->{json}{state}, $again->{headers}{'idempotent-replayed'} ], [ 200, 'refunded', 'true' ], 'a replay');
    is_problem($refund->($bought{'gold-plus'}{purchase}), 409, 'not_refundable', 'a second refund');
    is(account($player)->{refunds}, 1, 'nothing is given back twice');
    is($refund->($tiers->{purchase})->{status}, 200, 'tiers');
    is(progress($s, $player, season => $season)->{json}{xp}, $xp - 200, 'the XP that they gave is taken off');
    is($refund->($bought{gold}{purchase})->{status}, 200, 'and the first pass');
    is([ owns($player), wallet($player), account($player)->{refunds} ], [ [], 10_000, 3 ], 'all is back');
    is(options($player)->{gold}, available(gems(950)), 'it can be bought again');
    is_problem($refund->($nobodys_id), 404, 'purchase_not_found', 'what is not there');
    is(buy($player, { pass => 'gold' })->{status}, 201, 'and is');
};

subtest 'a refund that the economy does not answer' => sub {
    my $player = rich_player(1000);
    my $key = fresh_key();
    my $bought = buy($player, { pass => 'gold' }, key => $key)->{json};
    $s->faults({ fault => 'unavailable_503', calls => 'all', probability => 1 });
    my $answer = api($s, 'POST', "/v1/admin/seasons/$season/players/$player/purchases/$bought->{purchase}/refund",
        { $s->as('support'), 'Idempotency-Key' => fresh_key() }, { reason => 'chargeback' });
    is([ $answer->{status}, $answer->{json}{state} ], [ 202, 'refunding' ], 'open') or diag($answer->{body});
    like($answer->{headers}{location}, qr{/purchases/\Q$bought->{purchase}\E\z}, 'Location');
    is(owns($player), [], 'the pass is gone at once');
    $s->clear_faults;
    is(decided($player, $bought->{purchase}, 20)->{state}, 'refunded', 'the money follows');
    is([ wallet($player), account($player)->{refunds} ], [ 1000, 1 ], 'once');
    my $again = buy($player, { pass => 'gold' }, key => $key);
    is([ $again->{status}, $again->{json}{state} ], [ 200, 'refunded' ], 'the purchase repeated says so, and buys nothing');
    is(wallet($player), 1000, 'nothing was charged for it');
};

my $totals = $s->economy(GET => '/sandbox/totals')->{json};
is([ @$totals{qw(charged_twice delivered_twice unbalanced)} ], [ 0, 0, 0 ], 'the economy charged nothing twice');
is($s->metrics->{battlepass_process_deaths_total}, 0, 'no process died');

done_testing;
