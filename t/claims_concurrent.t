#!/usr/bin/perl
# Many at once on one player: 64 claims, resets, undoings, corrections and purchases at the same moment, with a key each and with one key
# for all; and all of them against each other. Each takes effect once, every answer fits, and one reward is one row and one delivery.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# Its own stack: its season would make "current" ambiguous for other tests.
my $s = Battlepass::Stack->new;
my $season = 'rush';
my $base = "/v1/seasons/$season";
my $json = JSON::PP->new->utf8->canonical;
my $copies = 64;
my $seed = $ENV{TEST_SEED} // int time;
note("TEST_SEED=$seed");

publish_season($s, small_season($season, tier_price => { currency => 'gems', amount => 1 },
    tiers => [ map { { tier => $_, xp => 100 } } 1 .. 30 ], rewards => [ map { my $tier = $_; map { { reward => "$_->[0]$tier", tier => $tier, pass => $_->[1], kind => 'item', item => 'thing', quantity => 1 } }
        ['f', 'free'], ['g', 'gold'] } 1 .. 30 ]));
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');
$s->as($_) for qw(server support viewer); # minted once, before the children

# The text of a POST for burst(); as, key.
sub text_of {
    my ($path, $body, %options) = @_;
    my %headers = ($s->as(@{ $options{as} // ['support'] }), 'Idempotency-Key' => $options{key} // fresh_key(), 'Content-Type' => 'application/json', Connection => 'close');
    return http_text('POST', $path, \%headers, $json->encode($body));
}

sub claim_path { return "$base/players/$_[0]/claims" }
sub admin_path { return "/v1/admin/seasons/$season/players/$_[0]/$_[1]" }

sub post {
    my ($path, $body, %options) = @_;
    return api($s, 'POST', $path, { $s->as(@{ $options{as} // ['support'] }), 'Idempotency-Key' => $options{key} // fresh_key() }, $body);
}

sub account {
    my ($player) = @_;
    return $s->economy(GET => "/sandbox/players/$player")->{json};
}

sub standing {
    my ($player) = @_;
    return progress($s, $player, season => $season)->{json};
}

sub count_rows {
    my ($table, $player, $where) = @_;
    return [ $s->db->selectrow_array("SELECT COUNT(*) FROM $table WHERE player_id = ?" . ($where ? " AND $where" : ''), undef, $player) ]->[0];
}

# Every one of the copies was answered with this status; the answers.
sub all_answered {
    my ($name, $status, @answers) = @_;
    my @other = grep { !$_ || $_->{status} != $status } @answers;
    is(scalar(@answers) - @other, $copies, "$name: $copies answers of $status") or diag(map { $_ ? "$_->{status} $_->{body}\n" : "none\n" } @other[0 .. ($#other > 2 ? 2 : $#other)]);
    return grep { $_ && $_->{status} == $status } @answers;
}

# One key: all the same, and one of them no replay.
sub same_answer {
    my ($name, @answers) = @_;
    my %bodies = map { $_->{body} => 1 } @answers;
    is(scalar keys %bodies, 1, "$name: one answer") or diag((sort keys %bodies)[0, 1]);
    is(scalar(grep { !defined $_->{headers}{'idempotent-replayed'} } @answers), 1, "$name: one of them is no replay");
    return $answers[0]{json};
}

sub chain_is_good {
    my ($player, $name) = @_;
    my ($status, $text) = $s->ctl('player', 'verify', '--season', $season, $player);
    is($status, 0, "$name: the ledgers give what is stored") or diag($text);
    my $answer = api($s, 'GET', "/v1/admin/audit:verify?player=$player", { $s->as('viewer') });
    is($answer->{json}{good}, T, "$name: the chain is whole") or diag($answer->{body});
    return;
}

sub one_delivery {
    my ($player, $reward, $name) = @_;
    is([ count_rows('claim', $player), count_rows('delivery', $player, "reward_id = '$reward'") ], [ 1, 1 ], "$name: one row, one delivery in the outbox");
    ok($s->wait_until(15, sub { @{ account($player)->{deliveries} } >= 1 }), "$name: it comes to the economy");
    sleep 0.5;
    is(scalar @{ account($player)->{deliveries} }, 1, "$name: once");
    return;
}

subtest 'one reward, a key each' => sub {
    for my $round (1 .. 3) {
        my $player = $s->fresh_player;
        grant($s, $player, 150, season => $season);
        my @answers = all_answered("round $round", 200, burst($s, [ map { text_of(claim_path($player), { rewards => ['f1'] }) } 1 .. $copies ]));
        is([ sort map { $_->{json}{results}[0]{status} } @answers ], [ ('already_claimed') x 63, 'claimed' ], "round $round: claimed once, and 63 are told so");
        is(scalar(grep { $_->{json}{player} ne $player || @{ $_->{json}{results} } != 1 || $_->{json}{results}[0]{reward} ne 'f1' } @answers), 0, "round $round: every answer is whole");
        my ($won) = map { $_->{json} } grep { $_->{json}{results}[0]{status} eq 'claimed' } @answers;
        is($won->{revision}, '2', "round $round: its revision");
        is(scalar(grep { $_->{json}{revision} < 2 } @answers), 0, "round $round: nobody was told of what was before");
        is([ @{ standing($player) }{qw(claimed claimable)} ], [ ['f1'], [] ], "round $round: progress");
        one_delivery($player, 'f1', "round $round");
        is(account($player)->{deliveries}[0]{key}, $won->{results}[0]{delivery}, "round $round: that of the one who got it");
        chain_is_good($player, "round $round");
    }
};

subtest 'one reward, one key' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 150, season => $season);
    my $text = text_of(claim_path($player), { rewards => ['f1'] });
    my $answer = same_answer('one key', all_answered('one key', 200, burst($s, [ ($text) x $copies ])));
    is($answer->{results}[0]{status}, 'claimed', 'claimed');
    one_delivery($player, 'f1', 'one key');
    chain_is_good($player, 'one key');
};

subtest 'one key, two bodies' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 250, season => $season);
    my $key = fresh_key();
    my @answers = burst($s, [ map { text_of(claim_path($player), { rewards => [ $_ % 2 ? 'f1' : 'f2' ] }, key => $key) } 1 .. $copies ]);
    my %count;
    $count{ $_->{status} }++ for @answers;
    is(\%count, { 200 => 32, 422 => 32 }, 'half of them are refused');
    is(scalar @{ standing($player)->{claimed} }, 1, 'one reward is claimed');
    chain_is_good($player, 'two bodies');
};

subtest 'all and each at the same moment' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 3000, season => $season);
    my @results = $s->in_parallel(16, sub {
        my ($number) = @_;
        srand $seed + $number;
        my (@claimed, @bad);
        for my $reward (sort { rand() <=> 0.5 } map { "f$_" } 1 .. 30) {
            my $answer = post(claim_path($player), rand() < 0.05 ? { all => JSON::PP::true } : { rewards => [ $reward, 'f' . (1 + int rand 30) ] });
            push @bad, $answer->{body} if $answer->{status} != 200;
            push @claimed, map { "$_->{reward} $_->{delivery}" } grep { $_->{status} eq 'claimed' } @{ $answer->{json}{results} // [] };
            push @bad, map { $_->{reward} } grep { $_->{status} !~ /claimed/ } @{ $answer->{json}{results} // [] };
        }
        return (\@claimed, \@bad);
    });
    my (@claimed, @bad);
    while (my ($claimed, $bad) = splice @results, 0, 2) {
        push @claimed, @$claimed;
        push @bad, @$bad;
    }
    is(\@bad, [], 'no answer is odd');
    is([ sort map { (split ' ')[0] } @claimed ], [ sort map { "f$_" } 1 .. 30 ], 'each reward was claimed by one of them');
    is([ count_rows('claim', $player), count_rows('delivery', $player) ], [ 30, 30 ], 'rows');
    ok($s->wait_until(20, sub { @{ account($player)->{deliveries} } >= 30 }), 'all come to the economy');
    is([ sort map { $_->{key} } @{ account($player)->{deliveries} } ], [ sort map { (split ' ')[1] } @claimed ], 'once each, by the ids that were told');
    chain_is_good($player, 'all and each');
};

subtest 'resets and their undoing' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 500, season => $season);
    post(claim_path($player), { rewards => ['f1'] });
    my $path = admin_path($player, 'reset');
    my $body = { reason => 'a test', claims => 'forget' };
    my $reset = same_answer('reset, one key', all_answered('reset, one key', 200, burst($s, [ (text_of($path, $body)) x $copies ])));
    is([ @{ $reset->{before} }{qw(xp claims)}, @{ $reset->{after} }{qw(xp claims)} ], [ 500, 1, 0, 0 ], 'reset, one key: before and after');
    is([ @{ standing($player) }{qw(xp claimed revision)} ], [ 0, [], '3' ], 'reset, one key: done once');
    is(count_rows('player_reset', $player), 1, 'reset, one key: one row');
    grant($s, $player, 50, season => $season);

    my $undo = admin_path($player, "reset/$reset->{operation}/undo");
    my @answers = burst($s, [ map { text_of($undo, { reason => 'back' }) } 1 .. $copies ]);
    my %count;
    $count{ $_ ? $_->{json}{code} // $_->{status} : 'none' }++ for @answers;
    is(\%count, { 200 => 1, already_undone => 63 }, 'undo, a key each: one succeeds, the others are told');
    is([ @{ standing($player) }{qw(xp claimed)} ], [ 550, ['f1'] ], 'undo, a key each: given back once');
    chain_is_good($player, 'reset and undo');

    my @resets = all_answered('reset, a key each', 200, burst($s, [ map { text_of($path, $body) } 1 .. $copies ]));
    my @ordered = sort { $a->{json}{revision} <=> $b->{json}{revision} } @resets;
    is(scalar(keys %{ { map { $_->{json}{revision} => 1 } @resets } }), $copies, 'reset, a key each: each has a revision');
    is([ map { $_->{json}{before}{xp} } @ordered ], [ 550, (0) x 63 ], 'reset, a key each: the first takes it all');
    my $one = text_of(admin_path($player, "reset/$ordered[0]{json}{operation}/undo"), { reason => 'back' });
    same_answer('undo, one key', all_answered('undo, one key', 200, burst($s, [ ($one) x $copies ])));
    is([ @{ standing($player) }{qw(xp claimed)} ], [ 550, ['f1'] ], 'undo, one key: given back once');
    chain_is_good($player, 'many resets');
};

subtest 'corrections' => sub {
    my $player = $s->fresh_player;
    my $path = admin_path($player, 'xp-corrections');
    my $text = text_of($path, { reason => 'a test', amount => 250 });
    my $answer = same_answer('one key', all_answered('one key', 200, burst($s, [ ($text) x $copies ])));
    is([ $answer->{before}{xp}, $answer->{after}{xp} ], [ 0, 250 ], 'one key: before and after');
    is([ @{ standing($player) }{qw(xp revision)} ], [ 250, '1' ], 'one key: once');
    my @answers = all_answered('a key each', 200, burst($s, [ map { text_of($path, { reason => 'a test', amount => $_ % 2 ? 7 : -3 }) } 1 .. $copies ]));
    my @ordered = sort { $a->{json}{revision} <=> $b->{json}{revision} } @answers;
    is([ map { $_->{json}{revision} } @ordered ], [ map { "$_" } 2 .. 65 ], 'a key each: each has its revision');
    my $xp = 250;
    is([ grep { my $fits = $_->{json}{before}{xp} == $xp; $xp = $_->{json}{after}{xp}; !$fits } @ordered ], [], 'a key each: each begins where the one before ended');
    is(standing($player)->{xp}, 250 + 32 * 7 - 32 * 3, 'a key each: the sum');
    # What is left can be taken once.
    my $left = standing($player)->{xp};
    @answers = burst($s, [ map { text_of($path, { reason => 'a test', amount => -$left }) } 1 .. $copies ]);
    is([ sort map { $_->{status} } @answers ], [ 200, (400) x 63 ], 'all of it: only one can');
    is(standing($player)->{xp}, 0, 'nothing is left');
    chain_is_good($player, 'corrections');
};

subtest 'passes given and taken' => sub {
    my $player = $s->fresh_player;
    for my $case (['pass-grants', 'already_owned', 1], ['pass-revocations', 'not_owned', 0]) {
        my ($call, $code, $owned) = @$case;
        my @answers = burst($s, [ map { text_of(admin_path($player, $call), { reason => 'a test', pass => 'gold' }) } 1 .. $copies ]);
        my %count;
        $count{ $_ ? $_->{json}{code} // $_->{status} : 'none' }++ for @answers;
        is(\%count, { 200 => 1, $code => 63 }, "$call: one succeeds");
        is(scalar(grep { $_->{pass} eq 'gold' } @{ standing($player)->{passes} }), $owned, "$call: progress");
    }
    chain_is_good($player, 'passes');
};

subtest 'purchases' => sub {
    for my $way ('a key each', 'one key') {
        my $player = $s->fresh_player;
        $s->economy(PUT => "/sandbox/wallets/$player", { currency => 'gems', balance => 1000 });
        my $key = fresh_key();
        my @answers = burst($s, [ map { text_of("$base/players/$player/purchases", { pass => 'gold' }, as => [player => $player], $way eq 'one key' ? (key => $key) : ()) } 1 .. $copies ], 60);
        my %count;
        $count{ $_ ? $_->{json}{code} // $_->{json}{state} : 'none' }++ for @answers;
        note(join ', ', map { "$_ $count{$_}" } sort keys %count);
        my %fits = map { $_ => 1 } $way eq 'one key' ? qw(granted debiting idempotency_in_flight) : qw(granted debiting purchase_in_progress already_owned);
        is([ grep { !$fits{$_} } keys %count ], [], "$way: every answer fits");
        ok($s->wait_until(15, sub { grep { $_->{pass} eq 'gold' } @{ standing($player)->{passes} } }), "$way: owned");
        is([ account($player)->{charges}, account($player)->{wallets}{gems}, count_rows('purchase', $player) ], [ 1, 995, 1 ], "$way: charged once, one purchase");
        is(scalar(keys %{ { map { $_->{json}{purchase} => 1 } grep { $_ && $_->{json}{purchase} } @answers } }), 1, "$way: all speak of one purchase");
        chain_is_good($player, $way);
    }
};

subtest 'everything against everything' => sub {
    my @players = map { $s->fresh_player } 1 .. 4;
    for my $player (@players) {
        $s->as(player => $player);
        $s->economy(PUT => "/sandbox/wallets/$player", { currency => 'gems', balance => 100_000 });
        grant($s, $player, 300, season => $season);
    }
    my $deadline = time + 6;
    my @results = $s->in_parallel(8, sub {
        my ($number) = @_;
        srand $seed + 100 + $number;
        my (@bad, %done);
        my %resets;
        while (time < $deadline) {
            my $player = $players[rand @players];
            my $dice = rand;
            my $answer = $dice < 0.3 ? grant($s, $player, 1 + int rand 60, season => $season)
                : $dice < 0.5 ? post(claim_path($player), { all => JSON::PP::true })
                : $dice < 0.65 ? post(claim_path($player), { rewards => [ map { (rand() < 0.5 ? 'f' : 'g') . (1 + int rand 30) } 1 .. 3 ] }, as => [player => $player])
                : $dice < 0.75 ? post(admin_path($player, 'xp-corrections'), { reason => 'a test', amount => int(rand 200) - 90 || 1 })
                : $dice < 0.8 ? post(admin_path($player, 'reset'), { reason => 'a test', claims => 'keep' })
                : $dice < 0.85 && $resets{$player} ? post(admin_path($player, "reset/$resets{$player}/undo"), { reason => 'back' })
                : $dice < 0.9 ? post(admin_path($player, 'pass-grants'), { reason => 'a test', pass => 'gold' })
                : $dice < 0.94 ? post(admin_path($player, 'pass-revocations'), { reason => 'a test', pass => 'gold' })
                : post("$base/players/$player/purchases", rand() < 0.5 ? { pass => 'gold' } : { tiers => 1 }, as => [player => $player]);
            $resets{$player} = $answer->{json}{reset} if defined $answer->{json}{reset};
            $done{ $answer->{status} }++;
            push @bad, "$answer->{status} $answer->{body}" unless $answer->{status} =~ /\A(?:200|201|202|409)\z/ || ($answer->{json}{code} // '') eq 'invalid_field';
        }
        return (\@bad, \%done);
    });
    my (@bad, %done);
    while (my ($bad, $done) = splice @results, 0, 2) {
        push @bad, @$bad;
        $done{$_} += $done->{$_} for keys %$done;
    }
    is(\@bad, [], 'no answer is odd');
    cmp_ok($done{200} // 0, '>', 100, 'there was a race');
    note(join ', ', map { "$done{$_} x $_" } sort keys %done);
    for my $player (@players) {
        my $purchases = sub { return api($s, 'GET', "$base/players/$player/purchases?page_size=200", { $s->as('viewer') })->{json}{items} };
        ok($s->wait_until(20, sub { !grep { $_->{state} =~ /ing\z/ } @{ $purchases->() } }), "$player: every purchase is decided");
        is(count_rows('claim', $player), count_rows('delivery', $player), "$player: a delivery for each claim");
        my ($doubled) = $s->db->selectrow_array('SELECT COUNT(*) FROM (SELECT 1 FROM delivery WHERE player_id = ? GROUP BY reward_id HAVING COUNT(*) > 1) AS d', undef, $player);
        is($doubled, 0, "$player: none twice");
        my @granted = grep { $_->{state} eq 'granted' } @{ $purchases->() };
        my $paid = 0;
        $paid += $_->{price}{amount} for @granted;
        is([ account($player)->{wallets}{gems}, account($player)->{charges} - account($player)->{refunds} ], [ 100_000 - $paid, scalar @granted ], "$player: the wallet adds up");
        ok($s->wait_until(20, sub { @{ account($player)->{deliveries} } >= count_rows('delivery', $player) }), "$player: all is delivered");
        is(scalar @{ account($player)->{deliveries} }, count_rows('delivery', $player), "$player: and nothing more");
        chain_is_good($player, $player);
    }
};

is($s->server_errors, 0, 'no answer of 500 or more');

done_testing;
