#!/usr/bin/perl
# Money under faults: purchases by many players at once, each asked for by two devices with copies of two keys, while the
# economy service shows every fault it knows and the processes that serve them are killed at every step. Afterwards each
# player was charged once or not at all, owns the pass exactly if charged, and wallets, the economy's ledger, purchases and
# ownership add up.
use Test2::V0;
use File::Temp qw(tempdir);
use Time::HiRes qw(sleep time);
use lib 't/lib';
use Battlepass::Stack;

my $players_each = $ENV{TEST_PURCHASES_EACH} // 80; # of each fault
my $price = 950;
my $wallet = 100_000;
my $points = tempdir('battlepass-points-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $s = Battlepass::Stack->new(config => <<"CONF");
crash_points = "$points"
purchase_lane {
	processes = 2
}
economy {
	answer_within_ms = 400
	timeout_ms = 1200
	give_up_after_s = 6
	key_retention_s = 40
	retry_first_ms = 100
	retry_most_ms = 1000
}
CONF
my $season = $s->season;

# What the economy does wrong, or at which step a process dies. An economy that forgets keys after their time is there always.
my @forgets = ({ fault => 'forget', calls => 'debits', probability => 1, delay_ms => 45_000 });
my @classes = (
    { name => 'nothing' },
    (map { { name => $_, faults => [{ fault => $_, calls => 'debits', probability => 0.5 }] } }
        qw(error_500 error_500_executed drop drop_before cut wrong_amount wrong_key rubbish redirect refuse wrong_types
            unavailable_503 too_many_429)),
    { name => 'huge', faults => [{ fault => 'huge', calls => 'debits', probability => 0.2 }] },
    { name => 'late', faults => [{ fault => 'late', calls => 'debits', probability => 0.3, delay_ms => 700 }] },
    { name => 'late_charge', faults => [{ fault => 'late_charge', calls => 'debits', probability => 0.3, delay_ms => 1800 }] },
    { name => 'down', faults => [{ fault => 'down', calls => 'all', probability => 0.02, delay_ms => 300 }] },
    (map { { name => "killed when $_", point => $_ } } qw(locked saved fenced committed confirmed decided proven)),
    { name => 'killed when proven, answers dropped', point => 'proven',
        faults => [{ fault => 'drop', calls => 'debits', probability => 0.5 }] },
    { name => 'killed when committed, late charges', point => 'committed',
        faults => [{ fault => 'late_charge', calls => 'all', probability => 0.3, delay_ms => 1000 }] },
    { name => 'killed when decided, answers lost everywhere', point => 'decided',
        faults => [{ fault => 'error_500_executed', calls => 'all', probability => 0.6 }] },
);

sub buy {
    my ($player, $key) = @_;
    return $s->post("/v1/seasons/$season/players/$player/purchases",
        { $s->as(player => $player), 'Idempotency-Key' => $key }, { pass => 'premium' });
}

# Asks again with the same key until there is an answer that says what became of it, as a client would.
sub insist {
    my ($player, $key) = @_;
    my $answer;
    for (1 .. 12) {
        $answer = eval { buy($player, $key) } // { status => 0 };
        last if grep { $_ == $answer->{status} } 200, 201, 202, 402;
        last if $answer->{status} == 409 && ($answer->{json}{code} // '') ne 'idempotency_in_flight';
        sleep 0.1;
    }
    return $answer->{status};
}

# Kills whoever comes to the point next, a few times, as long as the others are at work.
sub killer {
    my ($point) = @_;
    my $pid = fork // die "fork: $!";
    return $pid if $pid;
    for (1 .. 6) {
        open my $file, '>', "$points/$point" or POSIX::_exit(1);
        close $file;
        sleep 0.35;
    }
    unlink "$points/$point";
    POSIX::_exit(0);
}

my @players;
my %statuses;
my $processes = 16;
for my $class (@classes) {
    my @batch = map { $s->fresh_player } 1 .. $players_each;
    $s->token(player => $_) for @batch;
    push @players, @batch;
    $s->clear_faults;
    $s->faults(@{ $class->{faults} // [] }, @forgets);
    my $killer = $class->{point} ? killer($class->{point}) : undef;
    my @results = $s->in_parallel($processes, sub {
        my ($number) = @_;
        my @statuses;
        # Two neighbours serve the same players at the same moment: the copies of a purchase are made by different processes.
        my $half = int $number / 2;
        for my $i (grep { $_ % ($processes / 2) == $half } 0 .. $#batch) {
            my @keys = $number % 2 ? ("a-$i", "b-$i") : ("a-$i", "a-$i", "c-$i");
            push @statuses, map { insist($batch[$i], $_) } @keys;
        }
        return @statuses;
    });
    waitpid $killer, 0 if $killer;
    unlink glob "$points/*";
    $statuses{ $class->{name} }{$_}++ for @results;
    note "$class->{name}: ", join ', ', map { "$_ x $statuses{$class->{name}}{$_}" } sort keys %{ $statuses{ $class->{name} } };
}
$s->clear_faults;
$s->faults(@forgets);

# --- what has come of it ---

my $db = $s->db;
my $began = time;
my $settled = $s->wait_until(30, sub {
    !$db->selectrow_array(q{SELECT COUNT(*) FROM purchase WHERE state IN ('debiting', 'cancelling', 'refunding')});
});
ok($settled, sprintf 'every purchase is decided within 30 s (%.1f s)', time - $began)
    or diag join ', ', map { "@$_" } @{ $db->selectall_arrayref(
        q{SELECT state, tries, COUNT(*) FROM purchase WHERE state IN ('debiting', 'cancelling', 'refunding') GROUP BY 1, 2}) };

my $purchases = $db->selectall_arrayref('SELECT player_id, state, COUNT(*) FROM purchase GROUP BY 1, 2');
my %of;
$of{ $_->[0] }{ $_->[1] } = $_->[2] for @$purchases;
my %owned = map { $_->[0] => 1 } @{ $db->selectall_arrayref(
    q{SELECT player_id FROM pass_ownership WHERE pass_id = 'premium' AND active}) };
my (@wrong, %sum);
for my $player (@players) {
    my $account = $s->economy(GET => "/sandbox/players/$player");
    $account = $account->{json} // $account;
    my ($charges, $refunds) = map { $account->{$_} // 0 } qw(charges refunds);
    my $left = $account->{wallets}{gems} // $wallet;
    my $net = $charges - $refunds;
    my $granted = $of{$player}{granted} // 0;
    my $owns = $owned{$player} // 0;
    $sum{$_->[0]} += $_->[1] for [charges => $charges], [refunds => $refunds], [owned => $owns];
    push @wrong, "$player: charged $charges, refunded $refunds, $left left, granted $granted, owned $owns"
        if $net < 0 || $net > 1 || $charges > 1 || $granted != $net || $owns != $net || $left != $wallet - $net * $price;
}
is(\@wrong, [], 'each player was charged once or not at all, and owns the pass exactly if charged');
my ($made) = $db->selectrow_array('SELECT COUNT(*) FROM purchase');
cmp_ok($made, '>=', @players * 0.95, "$made purchases were made");
is($sum{charges} - $sum{refunds}, $sum{owned}, "as many are owned ($sum{owned}) as were charged and not refunded");
is($db->selectrow_array(q{SELECT COUNT(*) FROM purchase WHERE state = 'stuck'}), 0, 'none is stuck');
cmp_ok($sum{owned}, '>=', @players * 0.7, 'most players own it');

my @killed = $s->log_text =~ /was killed by signal 9/g;
cmp_ok(scalar @killed, '>=', 20, scalar(@killed) . ' processes were killed on the way');

for my $check ([qw(audit verify)], [qw(player verify --all)]) {
    my ($status, $text) = $s->ctl(@$check);
    is($status, 0, "battlepassctl @$check") or diag substr $text, 0, 2000;
}

# The read after all this shows what is stored.
my @sample = @players[map { int rand @players } 1 .. 50];
is([map { my $p = $_; scalar grep { $_->{pass} eq 'premium' }
        @{ $s->get("/v1/seasons/$season/players/$p/progress", { $s->as(player => $p) })->{json}{passes} } } @sample],
    [map { $owned{$_} // 0 } @sample], 'and progress shows it');

done_testing;
