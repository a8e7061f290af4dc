#!/usr/bin/perl
# What support does to players: XP corrections, tiers and passes given and taken, resets and their undoing, refunds; dry runs, reasons,
# roles and replays of each; one player seen whole; purchases that are stuck and deliveries that failed. No way round a reset, a refund or
# a correction pays a reward twice.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# Its own stack: it sets the economy's faults.
my $s = Battlepass::Stack->new;
my $season = 'care';
my $moment = qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/;
my $uuid = qr/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;
my $nobodys_id = '00000000-0000-7000-8000-000000000000';
my $true = JSON::PP::true;
my @written = qw(progress xp_grant pass_ownership claim forgotten_claim player_reset purchase delivery audit_log);

my %care = (
    tier_price => { currency => 'gems', amount => 10 },
    passes => [
        { pass => 'free', free => $true },
        { pass => 'gold', price => { currency => 'gems', amount => 50 } },
        { pass => 'gold-plus', price => { currency => 'gems', amount => 120 }, includes => ['gold'], instant_tiers => 3 },
    ],
    rewards => [ map { my $tier = $_; map { { reward => "$_->[0]$tier", tier => $tier, pass => $_->[1], kind => 'item', item => "$_->[0]-item", quantity => 1 } }
        ['f', 'free'], ['g', 'gold'], ['p', 'gold-plus'] } 1 .. 10 ],
);
publish_season($s, small_season($season, %care));
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

sub post_as {
    my ($as, $path, $body, $key) = @_;
    return api($s, 'POST', $path, { $s->as(@$as), defined $key ? ('Idempotency-Key' => $key) : () }, $body);
}

# A call under /v1/admin/seasons/../players/..; as, key (undef sends none), season; what is left stands in the body beside a reason
# (reason => undef takes it away).
sub admin {
    my ($player, $call, %options) = @_;
    my $in = delete $options{season} // $season;
    my $as = delete $options{as} // ['support'];
    my $key = exists $options{key} ? delete $options{key} : fresh_key();
    my %body = (reason => 'ticket 4711', %options);
    delete $body{reason} if !defined $body{reason};
    return post_as($as, "/v1/admin/seasons/$in/players/$player/$call", \%body, $key);
}

sub get_admin {
    my ($path, @as) = @_;
    return api($s, 'GET', "/v1/admin/$path", { $s->as(@as ? @as : 'viewer') });
}

sub claim {
    my ($player, $rewards, $in) = @_;
    my $answer = post_as(['support'], '/v1/seasons/' . ($in // $season) . "/players/$player/claims", ref $rewards ? { rewards => $rewards } : { all => $true }, fresh_key());
    return { map { $_->{reward} => $_->{status} } @{ $answer->{json}{results} // [] } };
}

# With 1,000 gems in the wallet before the first purchase.
my %funded;

sub buy {
    my ($player, $what) = @_;
    $s->economy(PUT => "/sandbox/wallets/$player", { currency => 'gems', balance => 1000 }) if !$funded{$player}++;
    my $answer = post_as([ player => $player ], "/v1/seasons/$season/players/$player/purchases", $what, fresh_key());
    is($answer->{status}, 201, 'bought') or diag($answer->{body});
    return $answer->{json}{purchase};
}

sub account {
    my ($player) = @_;
    return $s->economy(GET => "/sandbox/players/$player")->{json};
}

sub standing {
    my ($player, $in) = @_;
    my $json = progress($s, $player, season => $in // $season)->{json};
    return { %$json, passes => [ sort grep { $_ ne 'free' } map { $_->{pass} } @{ $json->{passes} } ], map { $_ => [ sort @{ $json->{$_} } ] } qw(claimable claimed) };
}

sub at {
    my ($player) = @_;
    my $standing = standing($player);
    return [ @$standing{qw(xp tier revision)} ];
}

# Changes when a row of a player does; first what is on its way to the economy gets there.
sub rows {
    my $db = $s->{rows_db} //= $s->db;
    $s->wait_until(10, sub { !$db->selectrow_array("SELECT COUNT(*) FROM delivery WHERE state = 'pending'") });
    return { map { @$_ } @{ $db->selectall_arrayref('CHECKSUM TABLE ' . join ', ', @written) } };
}

# What before and after of an operation say.
sub state {
    my ($revision, $xp, $tier, $claims, @passes) = @_;
    return hash {
        field revision => "$revision";
        field xp => $xp;
        field tier => $tier;
        field claims => $claims;
        field passes => bag { item $_ for @passes; etc };
        etc;
    };
}

subtest 'corrections of XP' => sub {
    my $player = $s->fresh_player;
    my $answer = admin($player, 'xp-corrections', amount => 250, reason => "lost match \x{2013} ticket 1");
    is($answer->{status}, 200, 'status') or diag($answer->{body});
    is($answer->{headers}{'content-type'}, 'application/json', 'content type');
    is($answer->{json}, hash {
        field operation => match $uuid;
        field action => 'xp_correction';
        field player => $player;
        field season => $season;
        field revision => '1';
        field before => state(0, 0, 0, 0);
        field after => state(1, 250, 2, 0);
        field actor => 'support-1';
        field role => 'support';
        field reason => "lost match \x{2013} ticket 1";
        field at => match $moment;
        etc;
    }, 'members');
    ok(!exists $answer->{json}{$_}, "no $_") for qw(validate_only reset);
    is(at($player), [ 250, 2, '1' ], 'it is seen at once');
    claim($player, ['f2']);
    $answer = admin($player, 'xp-corrections', amount => -150, as => ['admin']);
    is([ @{ $answer->{json} }{qw(actor role revision)}, $answer->{json}{after}{xp}, $answer->{json}{after}{claims} ], [ 'admin-1', 'admin', '3', 100, 1 ], 'down, by an admin');
    is([ @{ standing($player) }{qw(xp claimed claimable)} ], [ 100, ['f2'], ['f1'] ], 'what was claimed stays claimed');
    is(admin($player, 'xp-corrections', amount => -100)->{json}{after}{xp}, 0, 'down to nothing');
    my $rows = rows();
    for my $amount (-1, -1_000_000_000) {
        my $refused = admin($player, 'xp-corrections', amount => $amount);
        is_problem($refused, 400, 'invalid_field', "$amount: below nothing", pointer => '/amount');
        is($refused->{json}{errors}[0]{code}, 'out_of_range', "$amount: out_of_range");
    }
    is_problem(admin($player, 'xp-corrections', amount => $_), 400, 'invalid_field', 'amount ' . ($_ // 'null'), pointer => '/amount')
        for 0, 1.5, 1_000_000_001, -1_000_000_001, '5', undef, [5], $true;
    is_problem(admin($player, 'xp-corrections'), 400, 'invalid_field', 'without an amount', pointer => '/amount');
    is(rows(), $rows, 'nothing changed');
    is(admin($player, 'xp-corrections', amount => $_)->{status}, 200, "amount $_") for 1_000_000_000, -1_000_000_000, 1;
    is(standing($player)->{xp}, 1, 'in the end');
    my $full = $s->fresh_player;
    grant($s, $full, 1, season => $season);
    $s->db->do('UPDATE progress SET xp = ? WHERE player_id = ?', undef, 10**15 - 10, $full);
    is_problem(admin($full, 'xp-corrections', amount => 10), 400, 'invalid_field', '10^15 in all', pointer => '/amount');
    is(admin($full, 'xp-corrections', amount => 9)->{json}{after}{xp}, 10**15 - 1, 'one less');
    is(claim($player, ['f1']), { f1 => 'locked' }, 'what is not reached any more is locked');
    admin($player, 'xp-corrections', amount => 199);
    is([ claim($player, 'all'), claim($player, ['f2']) ], [ { f1 => 'claimed' }, { f2 => 'already_claimed' } ], 'what was claimed before is not claimed again');
};

subtest 'tiers given' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 130, season => $season);
    my $answer = admin($player, 'tier-grants', tiers => 3);
    is($answer->{json}, hash { field action => 'tier_grant'; field before => state(1, 130, 1, 0); field after => state(2, 430, 4, 0); etc }, 'three') or diag($answer->{body});
    is([ @{ standing($player) }{qw(xp tier xp_into_tier claimable)} ], [ 430, 4, 30, [qw(f1 f2 f3 f4)] ], 'progress within the tier is kept');
    my $rows = rows();
    is_problem(admin($player, 'tier-grants', tiers => $_), 409, 'too_many_tiers', "$_ of 6") for 7, 1000;
    is_problem(admin($player, 'tier-grants', tiers => $_), 400, 'invalid_field', 'tiers ' . ($_ // 'null'), pointer => '/tiers') for 0, -1, 1001, 1.5, '3', undef;
    is(rows(), $rows, 'nothing changed');
    is(admin($player, 'tier-grants', tiers => 6)->{json}{after}{tier}, 10, 'the rest');
    is_problem(admin($player, 'tier-grants', tiers => 1), 409, 'too_many_tiers', 'past the last');
    publish_season($s, small_season('uneven', tiers => [ { tier => 1, xp => 500 }, map { { tier => $_, xp => 20 } } 2 .. 10 ]));
    my $other = $s->fresh_player;
    grant($s, $other, 480, season => 'uneven');
    is(admin($other, 'tier-grants', tiers => 2, season => 'uneven')->{json}{after}{tier}, 2, 'never more tiers than given');
    is(standing($other, 'uneven')->{tier}, 2, 'as the progress says');
};

subtest 'passes given and taken' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    my $answer = admin($player, 'pass-grants', pass => 'gold');
    is($answer->{json}, hash { field action => 'pass_grant'; field before => state(1, 250, 2, 0); field after => state(2, 250, 2, 0, 'gold'); etc }, 'gold') or diag($answer->{body});
    is([ @{ standing($player) }{qw(passes claimable)} ], [ ['gold'], [qw(f1 f2 g1 g2)] ], 'it is seen at once');
    is_problem(admin($player, 'pass-grants', pass => 'gold'), 409, 'already_owned', 'again');
    claim($player, 'all');
    $answer = admin($player, 'pass-revocations', pass => 'gold');
    is($answer->{json}, hash { field action => 'pass_revocation'; field before => state(3, 250, 2, 4, 'gold'); field after => state(4, 250, 2, 4); etc }, 'taken') or diag($answer->{body});
    is($answer->{json}{after}{passes}, array { all_items mismatch qr/gold/; etc }, 'it is not owned any more');
    is([ @{ standing($player) }{qw(passes claimed)} ], [ [], [qw(f1 f2 g1 g2)] ], 'and the claims are kept');
    is_problem(admin($player, 'pass-revocations', pass => 'gold'), 409, 'not_owned', 'taken again');
    grant($s, $player, 100, season => $season);
    is(claim($player, 'all'), { f3 => 'claimed' }, 'nothing more of the pass can be claimed');
    admin($player, 'pass-grants', pass => 'gold');
    is(claim($player, 'all'), { g3 => 'claimed' }, 'given again: only what was not claimed');

    my $plus = $s->fresh_player;
    grant($s, $plus, 50, season => $season);
    is(admin($plus, 'pass-grants', pass => 'gold-plus')->{status}, 200, 'a pass that includes another');
    is(standing($plus)->{passes}, [qw(gold gold-plus)], 'gives both');
    my $gifted = standing($plus)->{xp};
    is(admin($plus, 'pass-grants', pass => 'gold')->{json}{code}, 'already_owned', 'the included one is owned');
    is_problem(admin($plus, 'pass-revocations', pass => 'gold'), 409, 'not_owned', 'but cannot be taken by itself');
    admin($plus, 'pass-revocations', pass => 'gold-plus');
    my $left = standing($plus)->{xp};
    is(standing($plus)->{passes}, [], 'the other takes both along');
    admin($plus, 'pass-grants', pass => 'gold-plus');
    is(standing($plus)->{xp}, $left, 'the tiers that come with a pass are given once for ever');
    note("50 XP became $gifted, and $left after the revocation");

    my $rows = rows();
    for my $call ('pass-grants', 'pass-revocations') {
        is_problem(admin($player, $call, pass => $_), 400, 'invalid_field', "$call: " . ($_ // 'null'), pointer => '/pass') for 'platinum', '', 5, undef, ['gold'], "x' OR 1=1";
        my $free = admin($player, $call, pass => 'free');
        ok($free->{status} == 400 || $free->{status} == 409, "$call: a free pass is neither given nor taken") or diag($free->{body});
    }
    is(rows(), $rows, 'nothing changed');
};

subtest 'a reset that keeps the claims, and its undoing' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 350, season => $season);
    admin($player, 'pass-grants', pass => 'gold');
    claim($player, [qw(f1 g1 f2)]);
    my $answer = admin($player, 'reset', claims => 'keep');
    is($answer->{status}, 200, 'reset') or diag($answer->{body});
    is($answer->{json}, hash {
        field action => 'reset';
        field operation => match $uuid;
        field before => state(3, 350, 3, 3, 'gold');
        field after => state(4, 0, 0, 3, 'gold');
        etc;
    }, 'members');
    my $reset = $answer->{json}{operation};
    is($answer->{json}{reset}, $reset, 'the id to undo it by');
    is([ @{ standing($player) }{qw(xp tier passes claimed claimable)} ], [ 0, 0, ['gold'], [qw(f1 f2 g1)], [] ], 'no XP, the pass is kept, and the claims');
    grant($s, $player, 250, season => $season);
    is(standing($player)->{claimable}, ['g2'], 'what was claimed and is earned again is not claimable again');
    is(claim($player, [qw(f1 g1 g2)]), { f1 => 'already_claimed', g1 => 'already_claimed', g2 => 'claimed' }, 'nor paid again');
    my $key = fresh_key();
    my $undone = admin($player, "reset/$reset/undo", key => $key);
    is($undone->{json}, hash { field action => 'reset_undo'; field before => state(6, 250, 2, 4, 'gold'); field after => state(7, 600, 6, 4, 'gold'); etc },
        'undone: XP is what was taken and what was earned since') or diag($undone->{body});
    is([ @{ standing($player) }{qw(xp claimable)} ], [ 600, [qw(f3 f4 f5 f6 g3 g4 g5 g6)] ], 'it is seen at once');
    my $again = admin($player, "reset/$reset/undo", key => $key);
    is([ $again->{body}, $again->{headers}{'idempotent-replayed'} ], [ $undone->{body}, 'true' ], 'a replay');
    is_problem(admin($player, "reset/$reset/undo"), 409, 'already_undone', 'a second time');
    is(standing($player)->{xp}, 600, 'adds nothing');
    my $other = $s->fresh_player;
    is_problem(admin($other, "reset/$reset/undo"), 404, 'reset_not_found', "another player's");
    is_problem(admin($player, "reset/$nobodys_id/undo"), 404, 'reset_not_found', 'nobody has it');
    is_problem(admin($player, "reset/$reset/undo", season => 's1'), 404, 'reset_not_found', 'in another season');
    is_problem(admin($player, "reset/$undone->{json}{operation}/undo"), 404, 'reset_not_found', 'the undoing is no reset');
    ok(admin($player, 'reset/x/undo')->{status} =~ /\A40[04]\z/, 'an id that is none');
    my $rows = rows();
    is_problem(admin($player, 'reset', claims => $_), 400, 'invalid_field', 'claims: ' . ($_ // 'null'), pointer => '/claims') for 'burn', '', 'KEEP', 1, $true, undef;
    is_problem(admin($player, 'reset'), 400, 'invalid_field', 'without claims', pointer => '/claims');
    is(rows(), $rows, 'nothing changed');
    my @resets = map { my $id = admin($player, 'reset', claims => 'keep')->{json}{operation}; grant($s, $player, 10, season => $season); $id } 1 .. 3;
    admin($player, "reset/$_/undo") for @resets[1, 0, 2];
    is(standing($player)->{xp}, 630, 'three resets undone in any order give everything back');
};

subtest 'a reset that forgets the claims, and its undoing' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    claim($player, 'all');
    my $answer = admin($player, 'reset', claims => 'forget');
    is($answer->{json}, hash { field before => state(2, 250, 2, 2); field after => state(3, 0, 0, 0); etc }, 'reset') or diag($answer->{body});
    is([ @{ standing($player) }{qw(xp claimed)} ], [ 0, [] ], 'no XP, nothing claimed');
    is(claim($player, ['f1']), { f1 => 'locked' }, 'locked again');
    grant($s, $player, 150, season => $season);
    is(claim($player, 'all'), { f1 => 'claimed' }, 'rewards can be earned again');
    my ($times) = $s->db->selectrow_array('SELECT COUNT(*) FROM delivery WHERE player_id = ? AND reward_id = ?', undef, $player, 'f1');
    is($times, 2, 'and are delivered again, because it was said so');
    my $undone = admin($player, "reset/$answer->{json}{operation}/undo");
    is($undone->{json}{after}, state(6, 400, 4, 2), 'undone') or diag($undone->{body});
    is([ @{ standing($player) }{qw(xp claimed claimable)} ], [ 400, [qw(f1 f2)], [qw(f3 f4)] ], 'what was forgotten is there again');
    is(claim($player, 'all'), { f3 => 'claimed', f4 => 'claimed' }, 'only the others can be claimed');
    my @list = map { $_->{reward} } @{ api($s, 'GET', "/v1/seasons/$season/players/$player/claims", { $s->as('viewer') })->{json}{items} };
    is([ sort @list ], [qw(f1 f2 f3 f4)], 'the list of claims has each once');
    my ($entry) = grep { $_->{action} eq 'reset' } @{ get_admin("audit?player=$player")->{json}{items} };
    like(JSON::PP->new->canonical->encode($entry // {}), qr/forget/, 'the audit entry says that they were forgotten');
};

subtest 'refunded and bought again' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    my $refund = sub { return admin($player, "purchases/$_[0]/refund") };
    my @paid;
    for my $round (1 .. 3) {
        my $purchase = buy($player, { pass => 'gold-plus' });
        my $claimed = claim($player, 'all');
        push @paid, grep { $claimed->{$_} eq 'claimed' } sort keys %$claimed;
        my $xp = standing($player)->{xp};
        my $answer = $refund->($purchase);
        is([ $answer->{status}, $answer->{json}{state} ], [ 200, 'refunded' ], "round $round: refunded") or diag($answer->{body});
        is(standing($player)->{passes}, [], "round $round: the pass is gone");
        is([ sort @{ standing($player)->{claimed} } ], [ sort @paid ], "round $round: the claims are kept");
        is(standing($player)->{xp}, $xp, "round $round: XP") if $round > 1;
        is_problem($refund->($purchase), 409, 'not_refundable', "round $round: refunded again");
        grant($s, $player, 100, season => $season);
    }
    my %times;
    $times{$_}++ for @paid;
    is([ grep { $times{$_} > 1 } sort keys %times ], [], 'no reward was paid twice');
    cmp_ok(scalar @paid, '>', 10, 'and there were some');
    cmp_ok(standing($player)->{xp}, '<=', 250 + 3 * 100 + 3 * 100, 'the tiers that come with the pass were given once');
    is([ account($player)->{wallets}{gems}, @{ account($player) }{qw(charges refunds)} ], [ 1000, 3, 3 ], 'all the money is back');
    ok($s->wait_until(20, sub { @{ account($player)->{deliveries} } == @paid }), 'every claim is delivered') or diag(scalar @{ account($player)->{deliveries} });
    is(scalar(keys %{ { map { $_->{key} => 1 } @{ account($player)->{deliveries} } } }), scalar @paid, 'once');

    my $skipper = $s->fresh_player;
    grant($s, $skipper, 50, season => $season);
    my $skip = buy($skipper, { tiers => 4 });
    admin($skipper, 'xp-corrections', amount => -200);
    is(admin($skipper, "purchases/$skip/refund")->{status}, 200, 'tiers refunded when less XP is left than they gave');
    is(standing($skipper)->{xp}, 0, 'takes what there is');
    is_problem(admin($player, "purchases/$nobodys_id/refund"), 404, 'purchase_not_found', 'no such purchase');
    is_problem(admin($player, "purchases/$skip/refund"), 404, 'purchase_not_found', "another player's");
};

# Each call that writes, ready to be made once on a player of its own: call and body.
sub every_call {
    my ($player) = @_;
    grant($s, $player, 350, season => $season);
    admin($player, 'pass-grants', pass => 'gold');
    claim($player, ['f1']);
    my $reset = admin($player, 'reset', claims => 'forget')->{json}{operation};
    grant($s, $player, 200, season => $season);
    my $purchase = buy($player, { tiers => 1 });
    return (
        ['xp-corrections', amount => 5], ['tier-grants', tiers => 1], ['pass-grants', pass => 'gold-plus'], ['pass-revocations', pass => 'gold'],
        ['reset', claims => 'keep'], ['reset', claims => 'forget'], ["reset/$reset/undo"], ["purchases/$purchase/refund"],
    );
}

subtest 'a dry run changes nothing' => sub {
    my $player = $s->fresh_player;
    my @calls = every_call($player);
    my $before = at($player);
    for my $call (grep { $_->[0] !~ /refund/ } @calls) {
        my ($path, %body) = @$call;
        my $name = join ' ', @$call;
        my $rows = rows();
        my $key = fresh_key();
        my $dry = admin($player, $path, %body, validate_only => $true, key => $key);
        is($dry->{status}, 200, "$name: status") or diag($dry->{body});
        is($dry->{json}{validate_only}, T, "$name: says what it is");
        ok(!exists $dry->{json}{operation} && !exists $dry->{json}{reset}, "$name: no id");
        is($dry->{json}{before}{revision}, $before->[2], "$name: before");
        is(rows(), $rows, "$name: nothing is stored");
        is(at($player), $before, "$name: nor seen");
        my $other = $s->fresh_player;
        my ($same) = grep { $_->[0] =~ s{/[0-9a-f-]{36}/}{/*/}r eq $path =~ s{/[0-9a-f-]{36}/}{/*/}r && "@$_[1 .. $#$_]" eq "@$call[1 .. $#$call]" } every_call($other);
        my ($other_path, %other_body) = @$same;
        my $first = admin($other, $other_path, %other_body, validate_only => $true, key => $key);
        my $real = admin($other, $other_path, %other_body, key => $key);
        is($real->{status}, 200, "$name: the key of a dry run is still free") or diag($real->{body});
        for my $side ('before', 'after') {
            is($first->{json}{$side}, $real->{json}{$side}, "$name: it foretold $side");
        }
    }
    for my $case (['xp-corrections', 400, amount => -10**6], ['xp-corrections', 400, amount => 0], ['tier-grants', 409, tiers => 999], ['pass-grants', 409, pass => 'gold'],
        ['pass-grants', 400, pass => 'x'], ['pass-revocations', 409, pass => 'gold-plus'], ["reset/$nobodys_id/undo", 404]) {
        my ($path, $status, %body) = @$case;
        is(admin($player, $path, %body, validate_only => $true)->{status}, $status, "$path: $status as without");
    }
    my ($refund) = grep { $_->[0] =~ /refund/ } @calls;
    my $rows = rows();
    my $dry = admin($player, $refund->[0], validate_only => $true);
    is($dry->{status}, 200, 'a refund: status') or diag($dry->{body});
    is(rows(), $rows, 'a refund: nothing is stored');
    is(account($player)->{refunds}, 0, 'and nothing is paid back');
    is_problem(admin($player, 'xp-corrections', amount => 5, validate_only => $_), 400, 'invalid_field', 'validate_only ' . ($_ // 'null'), pointer => '/validate_only') for 1, 'true';
    is(admin($player, 'xp-corrections', amount => 5, validate_only => JSON::PP::false)->{json}{after}{xp}, $before->[0] + 5, 'validate_only: false is none');
};

subtest 'reasons, keys and fields' => sub {
    my $player = $s->fresh_player;
    my @calls = every_call($player);
    my $before = at($player);
    for my $call (@calls) {
        my ($path, %body) = @$call;
        my $name = $path =~ s{/[0-9a-f-]{36}/}{/../}r;
        is_problem(admin($player, $path, %body, reason => $_), 400, 'invalid_field', "$name: reason " . (!defined ? 'missing' : length), pointer => '/reason')
            for undef, '', 'x' x 501, "\x{e4}" x 501, 5, ['x'];
        is_problem(admin($player, $path, %body, key => undef), 400, 'missing_idempotency_key', "$name: no key");
        is_problem(admin($player, $path, %body, actor => 'somebody'), 400, 'unknown_field', "$name: unknown field", pointer => '/actor');
        is(post_as(['support'], "/v1/admin/seasons/$season/players/$player/$path", $_, fresh_key())->{status}, 400, "$name: '$_'") for '', '[]', '{"reason":"x"', 'null';
    }
    is(at($player), $before, 'nothing changed');
    for my $reason ('x', 'x' x 500, "\x{e4}" x 500, "\x{1F600}" x 500, "\"quoted\" \\ 'single'; DROP TABLE audit_log; --") {
        my $answer = admin($player, 'xp-corrections', amount => 1, reason => $reason);
        is([ $answer->{status}, $answer->{json}{reason} ], [ 200, $reason ], 'a reason of ' . length($reason) . ' is kept') or diag($answer->{body});
    }
};

subtest 'replays' => sub {
    for my $i (0 .. 7) {
        my $player = $s->fresh_player;
        my ($path, %body) = @{ [ every_call($player) ]->[$i] };
        my $name = join ' ', $path =~ s{/[0-9a-f-]{36}/}{/../}r, %body;
        my $key = fresh_key();
        my $first = admin($player, $path, %body, key => $key);
        is($first->{status}, 200, "$name: the first") or diag($first->{body});
        my $standing = standing($player);
        grant($s, $player, 40, season => $season) if $i % 2;
        for (1 .. 2) {
            my $again = admin($player, $path, %body, key => $key, as => ['admin']);
            is([ $again->{status}, $again->{json}, $again->{headers}{'idempotent-replayed'} ], [ 200, $first->{json}, 'true' ], "$name: the same answer");
        }
        is_problem(admin($player, $path, %body, key => $key, reason => 'another'), 422, 'idempotency_key_reused', "$name: another body");
        is(standing($player)->{xp}, $standing->{xp} + ($i % 2 ? 40 : 0), "$name: done once");
    }
};

subtest 'who may' => sub {
    my $player = $s->fresh_player;
    my @calls = every_call($player);
    my $rows = rows();
    for my $call (@calls) {
        my ($path, %body) = @$call;
        my $name = $path =~ s{/[0-9a-f-]{36}/}{/../}r;
        is_problem(admin($player, $path, %body, as => [$_]), 403, 'role_not_allowed', "$name: a $_") for qw(viewer designer server);
        is_problem(admin($player, $path, %body, as => [player => $player]), 403, 'role_not_allowed', "$name: the player itself");
        my $nobody = api($s, 'POST', "/v1/admin/seasons/$season/players/$player/$path", { 'Idempotency-Key' => 'k' }, { %body, reason => 'x' });
        is_problem($nobody, 401, 'token_missing', "$name: nobody");
    }
    is(rows(), $rows, 'nothing changed');
    my %gets = ("players/$player" => [qw(viewer support designer admin)], 'purchases?state=stuck' => [qw(viewer support designer admin)],
        'deliveries?state=failed' => [qw(support admin)], 'audit' => [qw(viewer support designer admin)]);
    for my $path (sort keys %gets) {
        my %may = map { $_ => 1 } @{ $gets{$path} };
        for my $role (qw(viewer support designer admin server)) {
            my $answer = get_admin($path, $role);
            if ($may{$role}) {
                is($answer->{status}, 200, "$path: a $role");
            } else {
                is_problem($answer, 403, 'role_not_allowed', "$path: a $role");
            }
        }
        is_problem(get_admin($path, player => $player), 403, 'role_not_allowed', "$path: a player");
    }
};

subtest 'in which seasons' => sub {
    my $now = time;
    publish_season($s, small_season('to-come', %care, starts_at => iso_time($now + 5000)));
    publish_season($s, small_season('gone', %care, starts_at => iso_time($now - 9000), purchase_closes_at => iso_time($now - 5000), ends_at => iso_time($now - 3600)));
    publish_season($s, small_season('archived', %care, starts_at => iso_time($now - 9000), purchase_closes_at => iso_time($now - 5000), ends_at => iso_time($now - 3600),
        claim_until => iso_time($now - 60)));
    publish_season($s, small_season('unborn', %care), only => 'import');
    my $player = $s->fresh_player;
    for my $in ('to-come', 'gone', 'archived') {
        is([ map { $_->{status} } admin($player, 'xp-corrections', amount => 250, season => $in), admin($player, 'tier-grants', tiers => 1, season => $in),
            admin($player, 'pass-grants', pass => 'gold', season => $in), admin($player, 'reset', claims => 'keep', season => $in) ], [ (200) x 4 ], "$in: allowed");
    }
    is_problem(admin($player, 'xp-corrections', amount => 5, season => $_), 404, 'season_not_found', $_) for 'unborn', 'nowhere';
};

subtest 'one player, whole' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    my $purchase = buy($player, { pass => 'gold' });
    claim($player, 'all');
    admin($player, 'xp-corrections', amount => 40, season => 'uneven', reason => 'whole');
    my $json = get_admin("players/$player")->{json};
    is($json, hash {
        field player => $player;
        field seasons => bag { item hash { field season => $season; field xp => 250; field revision => T; etc }; item hash { field season => 'uneven'; field xp => 40; etc }; end };
        field purchases => [ hash { field purchase => $purchase; field state => 'granted'; field season => $season; etc } ];
        field claims => bag { for my $name (qw(f1 f2 g1 g2)) { item(hash { field reward => $name; field delivery => T; etc }) } end };
        field deliveries => bag { for my $name (qw(f1 f2 g1 g2)) { item(hash { field reward => $name; field delivery => match $uuid; field state => T; etc }) } end };
        field audit => array { etc };
        etc;
    }, 'all in one');
    my %actions = map { $_->{action} => 1 } @{ $json->{audit} };
    is(\%actions, { map { $_ => 1 } qw(claim purchase_debiting purchase_granted xp_correction) }, 'with its audit entries');
    my $list = api($s, 'GET', "/v1/players/$player/seasons", { $s->as(player => $player) });
    is([ map { "$_->{season} $_->{xp}" } sort { $a->{season} cmp $b->{season} } @{ $list->{json}{items} } ], [ "$season 250", 'uneven 40' ], 'its seasons, as the player sees them');
    is($list->{json}{items}[0], hash { field season => T; field revision => match qr/\A\d+\z/; field xp => T; field updated_at => match $moment; etc }, 'members');
    is(api($s, 'GET', '/v1/players/me/seasons', { $s->as(player => $player) })->{json}, $list->{json}, 'me');
    is_problem(api($s, 'GET', "/v1/players/$player/seasons", { $s->as(player => "$player-x") }), 403, 'not_your_data', 'another player');
    is_problem(api($s, 'GET', "/v1/players/$player/seasons", { $s->as('server') }), 403, 'role_not_allowed', 'a server');
    is(api($s, 'GET', "/v1/players/$player/seasons?page_size=1", { $s->as('viewer') })->{json}{next}, T, 'by pages');
    my $nobody = get_admin('players/' . $s->fresh_player);
    ok($nobody->{status} == 404 || $nobody->{status} == 200 && !@{ $nobody->{json}{seasons} }, 'a player whom nobody knows') or diag($nobody->{body});
    ok(get_admin('players/' . 'x' x 65)->{status} =~ /\A40[04]\z/, 'an id that is none');
};

subtest 'purchases that are stuck' => sub {
    is(get_admin('purchases?state=stuck')->{json}{items}, [], 'none');
    my $player = $s->fresh_player;
    my $purchase = buy($player, { tiers => 2 });
    $s->db->do("UPDATE purchase SET state = 'stuck' WHERE player_id = ?", undef, $player);
    is(get_admin('purchases?state=stuck')->{json}{items}, [ hash { field purchase => $purchase; field player => $player; field season => $season; field tiers => 2; field state => 'stuck'; etc } ],
        'one stands in the list');
    is_problem(get_admin('purchases?state=odd'), 400, 'invalid_field', 'no such state', pointer => '/query/state');
    $s->db->do("UPDATE purchase SET state = 'granted' WHERE player_id = ?", undef, $player);
};

subtest 'deliveries that failed' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    $s->faults({ fault => 'refuse', calls => 'deliveries', probability => 1 });
    claim($player, ['f1', 'f2']);
    my $claims = sub { return { map { $_->{reward} => $_->{delivery} } @{ api($s, 'GET', "/v1/seasons/$season/players/$player/claims", { $s->as('viewer') })->{json}{items} } } };
    ok($s->wait_until(15, sub { !grep { $_ ne 'failed' } values %{ $claims->() } }), 'what is refused fails') or diag(JSON::PP->new->encode($claims->()));
    is(account($player)->{deliveries}, [], 'the economy has nothing');
    my @failed = grep { $_->{player} eq $player } @{ get_admin('deliveries?state=failed&page_size=200', 'support')->{json}{items} };
    is([ sort map { $_->{reward} } @failed ], [qw(f1 f2)], 'they are in the list');
    is($failed[0], hash {
        field delivery => match $uuid;
        field season => $season;
        field kind => 'item';
        field item => 'f-item';
        field quantity => 1;
        field state => 'failed';
        field tries => D;
        field last_error => match qr/./;
        field created_at => match $moment;
        field updated_at => match $moment;
        etc;
    }, 'members');
    my $retry = sub { my ($delivery, %options) = @_; return post_as($options{as} // ['support'], "/v1/admin/deliveries/$delivery/retry", $options{body} // { reason => 'try again' },
        exists $options{key} ? $options{key} : fresh_key()) };
    my $id = $failed[0]{delivery};
    is_problem($retry->($id, as => [$_]), 403, 'role_not_allowed', "a $_") for qw(viewer designer server);
    is_problem($retry->($id, body => {}), 400, 'invalid_field', 'without a reason', pointer => '/reason');
    is_problem($retry->($id, key => undef), 400, 'missing_idempotency_key', 'without a key');
    is_problem($retry->($nobodys_id), 404, 'delivery_not_found', 'what is not there');
    $s->clear_faults;
    my $answer = $retry->($id);
    is([ $answer->{status}, @{ $answer->{json} }{qw(delivery state)} ], [ 200, $id, 'pending' ], 'pending again') or diag($answer->{body});
    ok($s->wait_until(15, sub { $claims->()->{ $failed[0]{reward} } eq 'delivered' }), 'and delivered');
    is([ map { $_->{key} } @{ account($player)->{deliveries} } ], [$id], 'once');
    is_problem($retry->($id), 409, 'delivery_not_failed', 'tried again after that');
    my ($entry) = grep { $_->{action} eq 'delivery_retry' } @{ get_admin("audit?player=$player")->{json}{items} };
    is([ @{ $entry // {} }{qw(actor reason subject)} ], [ 'support-1', 'try again', $id ], 'with an audit entry');
    is($claims->()->{ $failed[1]{reward} }, 'failed', 'the other waits for somebody');

    # What goes wrong by chance is tried again by itself.
    $s->faults(map { { fault => $_, calls => 'deliveries', probability => 1, delay_ms => 500, times => 1 } } qw(error_500 error_500_executed drop cut rubbish wrong_key));
    my $patient = $s->fresh_player;
    grant($s, $patient, 450, season => $season);
    claim($patient, 'all');
    ok($s->wait_until(30, sub { @{ account($patient)->{deliveries} } == 4 && !grep { $_->{delivery} ne 'delivered' }
        @{ api($s, 'GET', "/v1/seasons/$season/players/$patient/claims", { $s->as('viewer') })->{json}{items} } }), 'delivered in spite of faults') or diag(scalar @{ account($patient)->{deliveries} });
    is(scalar(keys %{ { map { $_->{key} => 1 } @{ account($patient)->{deliveries} } } }), 4, 'each once');
    $s->clear_faults;
};

is([ $s->ctl('player', 'verify', '--season', 'uneven', '--all') ]->[0], 0, 'the ledgers give what is stored');

done_testing;
