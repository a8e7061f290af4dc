#!/usr/bin/perl
# Random histories of players: XP granted and corrected, passes and tiers bought, refunded and bought again, resets undone, claims of one,
# some and all, requests repeated. A model of one player says what must be after each step; a read right after each write must show just
# that. In the end no reward was delivered twice, the wallets add up, and the ledgers give what is stored.
#
# TEST_SEED repeats a run, TEST_STEPS makes a longer or shorter one.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# Its own stack: its season would make "current" ambiguous for other tests.
my $s = Battlepass::Stack->new;
my $season = 'lives';
my $base = "/v1/seasons/$season/players";
my $admin = "/v1/admin/seasons/$season/players";
my $true = JSON::PP::true;
my $seed = $ENV{TEST_SEED} // int time;
my $steps = $ENV{TEST_STEPS} // 10_400;
my $processes = 4;
my $players_each = 10;
my $start_gems = 1_000_000;
print "# TEST_SEED=$seed\n";

# --- the season ---

my $tiers = 30;
my $tier_xp = 100;
my $total_xp = $tiers * $tier_xp;
my %price = (gold => 500, plus => 1200, event => 300, tier => 40);
my %includes = (plus => ['gold']);
my $gift = 2; # tiers that come with plus
my ($every, $times) = (150, 6); # units past the last tier
my @rewards = (
    (map { { reward => "f$_", tier => $_, pass => 'free' } } 1 .. $tiers),
    (map { { reward => "g$_", tier => $_, pass => 'gold' } } 1 .. $tiers),
    (map { { reward => "p$_", tier => $_, pass => 'plus' } } grep { $_ % 3 == 0 } 1 .. $tiers),
    (map { { reward => "e$_", tier => $_, pass => 'event' } } grep { $_ % 5 == 0 } 1 .. $tiers),
);
my @names = ((map { $_->{reward} } @rewards), (map { "more.$_" } 0 .. $times + 1), 'nothing');
my %reward = map { $_->{reward} => $_ } @rewards;

sub gems { return { currency => 'gems', amount => $_[0] } }

publish_season($s, small_season($season,
    tiers => [ map { { tier => $_, xp => $tier_xp } } 1 .. $tiers ], tier_price => gems($price{tier}),
    passes => [
        { pass => 'free', free => $true }, { pass => 'gold', price => gems($price{gold}) }, { pass => 'event', price => gems($price{event}) },
        { pass => 'plus', price => gems($price{plus}), includes => ['gold'], instant_tiers => $gift },
    ],
    rewards => [ map { { %$_, kind => 'item', item => "thing-$_->{reward}", quantity => 1 } } @rewards ],
    overflow => { policy => 'repeat', every => $every, times => $times, reward => { reward => 'more', pass => 'free', kind => 'currency', item => 'coins', quantity => 5 } },
));
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

# --- the model: one player ---

sub new_model {
    return { player => $_[0], xp => 0, revision => 0, owned => {}, gifted => 0, claimed => {}, deliveries => {}, gems => $start_gems, charges => 0, refunds => 0,
        purchases => [], resets => [], last => undef };
}

sub tier_of {
    my ($xp) = @_;
    my $tier = int $xp / $tier_xp;
    return $tier > $tiers ? $tiers : $tier;
}

sub units_of {
    my ($xp) = @_;
    my $units = $xp < $total_xp ? 0 : int(($xp - $total_xp) / $every);
    return $units > $times ? $times : $units;
}

# What the player has, by owning it or by what includes it.
sub has_pass {
    my ($m, $pass) = @_;
    return 1 if $pass eq 'free' || $m->{owned}{$pass};
    return scalar grep { my $owned = $_; grep { $_ eq $pass } @{ $includes{$owned} // [] } } keys %{ $m->{owned} };
}

sub status_of {
    my ($m, $name) = @_;
    return 'already_claimed' if $m->{claimed}{$name};
    if ($name =~ /\Amore\.(\d+)\z/) {
        return $1 < 1 || $1 > $times ? 'unknown' : $1 <= units_of($m->{xp}) ? 'claimed' : 'locked';
    }
    my $reward = $reward{$name} // return 'unknown';
    return $reward->{tier} <= tier_of($m->{xp}) && has_pass($m, $reward->{pass}) ? 'claimed' : 'locked';
}

sub claimable_of {
    my ($m) = @_;
    return grep { status_of($m, $_) eq 'claimed' } @names;
}

# What a read must say.
sub picture_of_model {
    my ($m) = @_;
    return join ' | ', "xp $m->{xp}", 'tier ' . tier_of($m->{xp}), 'passes ' . join(' ', sort grep { has_pass($m, $_) } qw(free gold plus event)),
        'claimable ' . join(' ', sort(claimable_of($m))), 'claimed ' . join(' ', sort keys %{ $m->{claimed} });
}

sub picture_of_answer {
    my ($json) = @_;
    return join ' | ', "xp $json->{xp}", "tier $json->{tier}", 'passes ' . join(' ', sort map { $_->{pass} } @{ $json->{passes} }),
        'claimable ' . join(' ', sort @{ $json->{claimable} }), 'claimed ' . join(' ', sort @{ $json->{claimed} });
}

# --- calls ---

# A write; what it was stands in the model, so that it can be repeated.
sub write_to {
    my ($m, $role, $path, $body) = @_;
    $m->{last} = [ $path, { $s->as($role => $role eq 'player' ? $m->{player} : undef), 'Idempotency-Key' => fresh_key() }, $body ];
    return $m->{answer} = api($s, 'POST', @{ $m->{last} });
}

sub support {
    my ($m, $call, %body) = @_;
    return write_to($m, 'support', "$admin/$m->{player}/$call", { reason => 'a step', %body });
}

# What does not fit is an exception, which ends the player's history with its tale.
sub want {
    my ($answer, $status, $code) = @_;
    my $got = $answer->{json}{code} // '';
    die "wanted $status " . ($code // '') . ", got $answer->{status} $answer->{body}\n" if $answer->{status} != $status || defined $code && $got ne $code;
    return $answer->{json};
}

sub read_progress {
    my ($m) = @_;
    return want(api($s, 'GET', "$base/$m->{player}/progress", { $s->as(server => undef) }), 200);
}

# The tiers that come with plus: once for ever, and as many as there are.
sub give_tiers {
    my ($m, $count) = @_;
    my $left = $tiers - tier_of($m->{xp});
    $m->{xp} += $tier_xp * ($count > $left ? $left : $count);
    return;
}

# --- steps: each does one thing to the service and the same to the model ---

sub step_grant {
    my ($m) = @_;
    my $amount = 1 + int rand 160;
    my $json = want(write_to($m, 'server', "$base/$m->{player}/xp-grants", { amount => $amount, source => 'match' }), 201);
    $m->{xp} += $amount;
    die "grant: $json->{xp_after} XP instead of $m->{xp}\n" if $json->{xp_after} != $m->{xp};
    return;
}

sub claim_these {
    my ($m, $role, $body, @expected) = @_;
    my $json = want(write_to($m, $role, "$base/$m->{player}/claims", $body), 200);
    my @got = map { "$_->{reward} $_->{status}" } @{ $json->{results} };
    @got = sort @got if $body->{all};
    die "claim: got @got, wanted @expected\n" if "@got" ne "@expected";
    for my $result (grep { $_->{status} eq 'claimed' } @{ $json->{results} }) {
        $m->{claimed}{ $result->{reward} } = 1;
        push @{ $m->{deliveries}{ $result->{reward} } }, $result->{delivery};
    }
    return;
}

sub step_claim_one {
    my ($m) = @_;
    my @claimable = claimable_of($m);
    my $name = @claimable && rand() < 0.6 ? $claimable[rand @claimable] : $names[rand @names];
    return claim_these($m, rand() < 0.5 ? 'player' : 'support', { rewards => [$name] }, "$name " . status_of($m, $name));
}

sub step_claim_some {
    my ($m) = @_;
    my @asked = map { $names[rand @names] } 1 .. 6;
    my %seen;
    my @expected = map { my $status = status_of($m, $_); "$_ " . ($status eq 'claimed' && $seen{$_}++ ? 'already_claimed' : $status) } @asked;
    return claim_these($m, 'player', { rewards => \@asked }, @expected);
}

sub step_claim_all {
    my ($m) = @_;
    return claim_these($m, 'player', { all => $true }, sort map { "$_ claimed" } claimable_of($m));
}

# A purchase that the economy did not answer in time comes to its end later.
sub bought {
    my ($m, $what, $price) = @_;
    my $answer = write_to($m, 'player', "$base/$m->{player}/purchases", $what);
    my $json = $answer->{json};
    if ($answer->{status} == 202) {
        $s->wait_until(15, sub { $json = want(api($s, 'GET', $answer->{headers}{location} =~ s{^https?://[^/]+}{}r, { $s->as(viewer => undef) }), 200); return $json->{state} ne 'debiting' });
        $m->{last} = undef; # its repetition would say something else
    } else {
        want($answer, 201);
    }
    die "bought: $answer->{body}\n" if $json->{state} ne 'granted' || $json->{price}{amount} != $price;
    $m->{gems} -= $price;
    $m->{charges}++;
    push @{ $m->{purchases} }, { %$what, id => $json->{purchase}, price => $price };
    return;
}

sub step_buy_pass {
    my ($m, $pass) = @_;
    if (has_pass($m, $pass)) {
        want(write_to($m, 'player', "$base/$m->{player}/purchases", { pass => $pass }), 409, 'already_owned');
        return;
    }
    bought($m, { pass => $pass }, $price{$pass} - ($pass eq 'plus' && $m->{owned}{gold} ? $price{gold} : 0));
    $m->{owned}{$pass} = $m->{purchases}[-1]{id};
    give_tiers($m, $gift) if $pass eq 'plus' && !$m->{gifted}++;
    return;
}

sub step_buy_tiers {
    my ($m) = @_;
    my $count = 1 + int rand 3;
    if ($count > $tiers - tier_of($m->{xp})) {
        want(write_to($m, 'player', "$base/$m->{player}/purchases", { tiers => $count }), 409, 'too_many_tiers');
        return;
    }
    bought($m, { tiers => $count }, $count * $price{tier});
    $m->{xp} += $count * $tier_xp;
    return;
}

sub step_refund {
    my ($m) = @_;
    my $purchase = $m->{purchases}[ rand @{ $m->{purchases} } ] // return step_grant($m);
    my $path = "purchases/$purchase->{id}/refund";
    if ($purchase->{refunded}) {
        want(support($m, $path), 409, 'not_refundable');
        return;
    }
    if (($purchase->{pass} // '') eq 'gold' && $m->{owned}{plus}) {
        want(support($m, $path), 409, 'pass_upgraded');
        return;
    }
    my $answer = support($m, $path);
    my $json = $answer->{json};
    if ($answer->{status} == 202) {
        $s->wait_until(15, sub { $json = want(api($s, 'GET', "$base/$m->{player}/purchases/$purchase->{id}", { $s->as(viewer => undef) }), 200); return $json->{state} ne 'refunding' });
        $m->{last} = undef;
    } else {
        want($answer, 200);
    }
    die "refund: $json->{state}\n" if $json->{state} ne 'refunded';
    $purchase->{refunded} = 1;
    $m->{gems} += $purchase->{price};
    $m->{refunds}++;
    if (defined $purchase->{pass}) {
        delete $m->{owned}{ $purchase->{pass} };
    } else {
        $m->{xp} -= $purchase->{tiers} * $tier_xp;
        $m->{xp} = 0 if $m->{xp} < 0;
    }
    return;
}

sub step_correct {
    my ($m) = @_;
    my $amount = int(rand 900) - 450 || 1;
    if ($m->{xp} + $amount < 0) {
        want(support($m, 'xp-corrections', amount => $amount), 400, 'invalid_field');
        return;
    }
    want(support($m, 'xp-corrections', amount => $amount), 200);
    $m->{xp} += $amount;
    return;
}

sub step_give_tiers {
    my ($m) = @_;
    my $count = 1 + int rand 4;
    if ($count > $tiers - tier_of($m->{xp})) {
        want(support($m, 'tier-grants', tiers => $count), 409, 'too_many_tiers');
        return;
    }
    want(support($m, 'tier-grants', tiers => $count), 200);
    $m->{xp} += $count * $tier_xp;
    return;
}

sub step_reset {
    my ($m) = @_;
    my $json = want(support($m, 'reset', claims => 'keep'), 200);
    push @{ $m->{resets} }, { id => $json->{reset}, xp => $m->{xp} };
    $m->{xp} = 0;
    return;
}

sub step_undo {
    my ($m) = @_;
    my $reset = $m->{resets}[ rand @{ $m->{resets} } ] // return step_grant($m);
    if ($reset->{undone}++) {
        want(support($m, "reset/$reset->{id}/undo"), 409, 'already_undone');
        return;
    }
    want(support($m, "reset/$reset->{id}/undo"), 200);
    $m->{xp} += $reset->{xp};
    return;
}

# A pass that nobody buys here.
sub step_event {
    my ($m) = @_;
    my $owned = $m->{owned}{event};
    my ($yes, $no, $code) = $owned ? ('pass-revocations', 'pass-grants', 'already_owned') : ('pass-grants', 'pass-revocations', 'not_owned');
    if (rand() < 0.2) {
        want(support($m, $no, pass => 'event'), 409, $code);
        return;
    }
    want(support($m, $yes, pass => 'event'), 200);
    $owned ? delete $m->{owned}{event} : ($m->{owned}{event} = 'given');
    return;
}

# The last write once more, to the letter: the answer is known, and nothing moves. A refusal is no record: it may become something else.
sub step_repeat {
    my ($m) = @_;
    return step_grant($m) if !$m->{last} || $m->{answer}{status} >= 300;
    my $answer = api($s, 'POST', @{ $m->{last} });
    die "repeated: $answer->{status} $answer->{body}\ninstead of $m->{answer}{status} $m->{answer}{body}\n" if $answer->{status} != $m->{answer}{status} || $answer->{body} ne $m->{answer}{body};
    die "repeated, and not marked\n" if ($answer->{headers}{'idempotent-replayed'} // '') ne 'true';
    return;
}

my @kinds = (
    [grant => 26, \&step_grant], ['claim one' => 14, \&step_claim_one], ['claim some' => 6, \&step_claim_some], ['claim all' => 5, \&step_claim_all],
    ['buy gold' => 5, sub { step_buy_pass($_[0], 'gold') }], ['buy plus' => 5, sub { step_buy_pass($_[0], 'plus') }], ['buy tiers' => 5, \&step_buy_tiers],
    [refund => 10, \&step_refund], [correct => 7, \&step_correct], ['give tiers' => 2, \&step_give_tiers], [reset => 3, \&step_reset], [undo => 4, \&step_undo],
    [event => 3, \&step_event], [repeat => 5, \&step_repeat],
);
my @dice = map { my $kind = $_; ($kind) x $kind->[1] } @kinds;

# One step and the read after it; dies with what does not fit.
sub live {
    my ($m, $count) = @_;
    my $kind = $dice[rand @dice];
    my $xp = $m->{xp};
    push @{ $m->{tale} }, "$kind->[0] at $xp XP";
    shift @{ $m->{tale} } if @{ $m->{tale} } > 15;
    $kind->[2]->($m);
    $count->{ $kind->[0] }++;
    my $json = read_progress($m);
    my ($got, $wanted) = (picture_of_answer($json), picture_of_model($m));
    die "progress is\n  $got\ninstead of\n  $wanted\n" if $got ne $wanted;
    die "revision $json->{revision} after $m->{revision}\n" if $json->{revision} < $m->{revision};
    $m->{revision} = $json->{revision};
    return;
}

# --- the run ---

my @models = map { new_model($s->fresh_player) } 1 .. $processes * $players_each;
$s->as($_ => undef) for qw(server support viewer); # minted once, before the children
for my $m (@models) {
    $s->as(player => $m->{player});
    $s->economy(PUT => "/sandbox/wallets/$m->{player}", { currency => 'gems', balance => $start_gems });
}

my $begin = time;
my @results = $s->in_parallel($processes, sub {
    my ($number) = @_;
    srand $seed + $number;
    my @own = @models[ $number * $players_each .. ($number + 1) * $players_each - 1 ];
    my (%count, @bad);
    for my $step (1 .. $steps / $processes) {
        my $m = $own[rand @own] // last;
        next if eval { live($m, \%count); 1 };
        push @bad, "seed $seed, process $number, step $step, player $m->{player}: $@after: " . join(', ', @{ $m->{tale} });
        # Model and service have parted: this player's history ends.
        @own = grep { $_ != $m } @own;
    }
    my @all = @models[ $number * $players_each .. ($number + 1) * $players_each - 1 ];
    delete @$_{qw(last answer tale)} for @all;
    return { count => \%count, bad => \@bad, models => \@all };
});
my $seconds = time - $begin;

my %count;
for my $result (@results) {
    $count{$_} += $result->{count}{$_} for keys %{ $result->{count} };
}
my $done = 0;
$done += $_ for values %count;
@models = map { @{ $_->{models} } } @results;
is([ map { @{ $_->{bad} } } @results ], [], 'every step came out as the model has it, and every read after a write showed it');
cmp_ok($done, '>=', $steps - $processes, "$done steps");
note(sprintf '%d steps in %.1f s: %s', $done, $seconds, join ', ', map { "$_->[0] " . ($count{ $_->[0] } // 0) } @kinds);

# --- what is there in the end ---

my $db = $s->db;

sub delivered_now {
    return [ $db->selectrow_array("SELECT COUNT(*), SUM(state = 'delivered') FROM delivery WHERE season_id = ?", undef, $season) ];
}

$s->wait_until(60, sub { my ($all, $delivered) = @{ delivered_now() }; return $all == ($delivered // 0) });
my ($all, $delivered) = @{ delivered_now() };
is($delivered, $all, "all $all deliveries are delivered");
is($db->selectall_arrayref('SELECT player_id, reward_id, COUNT(*) FROM delivery WHERE season_id = ? GROUP BY player_id, reward_id HAVING COUNT(*) > 1', undef, $season), [],
    'no reward has two deliveries');
is($db->selectall_arrayref('SELECT c.player_id, c.reward_id FROM claim c LEFT JOIN delivery d ON d.player_id = c.player_id AND d.delivery_id = c.delivery_id
    AND d.reward_id = c.reward_id WHERE c.season_id = ? AND d.delivery_id IS NULL', undef, $season), [], 'every claim has its delivery');

my (@wallets, @sent, @unsent, @progress);
for my $m (@models) {
    my $account = $s->economy(GET => "/sandbox/players/$m->{player}")->{json};
    my %known = map { $m->{deliveries}{$_}[0] => $_ } keys %{ $m->{deliveries} };
    my %times;
    $times{ $_->{key} }++ for @{ $account->{deliveries} };
    push @sent, map { "$m->{player}: " . ($known{$_} // $_) . " x $times{$_}" } grep { $times{$_} != 1 || !$known{$_} } sort keys %times;
    push @unsent, map { "$m->{player}: $known{$_}" } grep { !$times{$_} } sort keys %known;
    push @wallets, "$m->{player}: $account->{wallets}{gems} gems, $account->{charges} charges, $account->{refunds} refunds instead of $m->{gems}, $m->{charges}, $m->{refunds}"
        if $account->{wallets}{gems} != $m->{gems} || $account->{charges} != $m->{charges} || $account->{refunds} != $m->{refunds};
    # From the store, once more.
    $s->redis(DEL => cache_key($s, $m->{player}, $season));
    my ($got, $wanted) = (picture_of_answer(read_progress($m)), picture_of_model($m));
    push @progress, "$m->{player}: $got\ninstead of $wanted" if $got ne $wanted;
}
is(\@sent, [], 'the economy got nothing twice, and nothing that nobody claimed');
is(\@unsent, [], 'and everything that was claimed');
is(\@wallets, [], 'the wallets add up');
my $totals = $s->economy(GET => '/sandbox/totals')->{json};
is([ @$totals{qw(charged_twice delivered_twice unbalanced)} ], [ 0, 0, 0 ], 'the books of the economy say so, too');
is(\@progress, [], 'the store has what the cache had');
cmp_ok($all, '>', $steps / 20, 'there was much to deliver');

for my $arguments (['player', 'verify', '--season', $season, '--all'], ['audit', 'verify', '--season', $season]) {
    my ($status, $text) = $s->ctl(@$arguments);
    is($status, 0, "battlepassctl @$arguments") or diag(substr $text, 0, 2000);
}
my @models_ok = grep { [ $s->ctl('player', 'verify', '--season', $season, $_->{player}) ]->[0] == 0 } @models;
is(scalar @models_ok, scalar @models, 'and player by player');

done_testing;
