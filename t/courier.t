#!/usr/bin/perl
# The courier: what no request waits for is done all the same. It is killed, stopped and held up, the economy is away, two of them work
# on one database: each delivery is carried out once, each purchase is charged once or not at all, nothing is left lying, and what only
# a person can decide is seen.
use Test2::V0 '!call';
use Cwd qw(abs_path);
use File::Temp qw(tempdir);
use POSIX ();
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

# A file in this folder kills whoever comes to the place of its name.
my $crash_dir = abs_path(tempdir('battlepass-crash-XXXXXX', TMPDIR => 1, CLEANUP => 1));
my ($timeout_s, $tries) = (1, 20);
my $hold_s = $timeout_s + 2; # what a dead courier held is due again after it
my $s = Battlepass::Stack->new(config => <<"CONF");
log_level = debug
crash_points = "$crash_dir"
economy {
	timeout_ms = ${\ ($timeout_s * 1000)}
	answer_within_ms = 300
	give_up_after_s = 60
	key_retention_s = 3600
	delivery_tries = $tries
	retry_first_ms = 50
	retry_most_ms = 400
}
CONF
my $season = 'post';

sub reward {
    my ($id, $tier, $pass) = @_;
    return { reward => $id, tier => $tier, pass => $pass, kind => 'item', item => "item-$id", quantity => 1 + $tier };
}

my @passes = ({ pass => 'free', free => JSON::PP::true }, { pass => 'gold', price => { currency => 'gems', amount => 5 } });
publish_season($s, small_season($season, passes => \@passes, rewards => [ map { reward("r$_", $_, 'free') } 1 .. 10 ]));
ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');
$s->as($_) for qw(server support viewer admin);

# --- what the tests are made of ---

sub put_crash_point {
    my ($name) = @_;
    open my $out, '>', "$crash_dir/$name" or die "$name: $!";
    return close $out;
}

sub courier_of {
    my ($master) = @_;
    for my $dir (glob '/proc/[0-9]*') {
        open my $in, '<', "$dir/stat" or next;
        my ($pid, $name, $state, $parent) = (<$in> // '') =~ /^(\d+) \((.*)\) (\S) (\d+)/ or next;
        return $pid if $parent == $master && $name eq 'bp-courier' && $state ne 'Z';
    }
    return undef;
}

sub courier { return courier_of($s->master_pid) }

# The next courier is another process.
sub kill_courier {
    my $old = courier() // return;
    CORE::kill('KILL', $old);
    return $s->wait_until(10, sub { my $new = courier(); return $new && $new != $old });
}

# Players with `tiers` reached tiers.
sub players {
    my ($count, $tiers, %options) = @_;
    my @players = map { $s->fresh_player } 1 .. $count;
    my @grants = map { { player => $_, amount => 100 * $tiers, source => 'match', idempotency_key => fresh_key(), %{ $options{more} // {} } } } @players;
    while (my @some = splice @grants, 0, 500) {
        my $answer = batch($s, \@some, season => $options{season} // $season);
        is(statuses($answer), { granted => scalar @some }, scalar(@some) . ' players') or diag($answer->{body});
    }
    return @players;
}

# The keys of the deliveries.
sub claim_all {
    my ($player) = @_;
    my $answer = api($s, 'POST', "/v1/seasons/$season/players/$player/claims", { $s->as('support'), 'Idempotency-Key' => fresh_key() }, { all => JSON::PP::true });
    die "claim: $answer->{status} $answer->{body}" if $answer->{status} != 200;
    return map { $_->{delivery} } @{ $answer->{json}{results} };
}

sub buy {
    my ($player) = @_;
    my $answer = api($s, 'POST', "/v1/seasons/$season/players/$player/purchases", { $s->as(player => $player), 'Idempotency-Key' => fresh_key() }, { pass => 'gold' });
    return ($answer->{status}, $answer->{json}{purchase});
}

sub purchase {
    my ($player, $purchase) = @_;
    return api($s, 'GET', "/v1/seasons/$season/players/$player/purchases/$purchase", { $s->as('viewer') })->{json};
}

sub comes_to {
    my ($player, $purchase, $state, $seconds) = @_;
    return $s->wait_until($seconds, sub { purchase($player, $purchase)->{state} eq $state });
}

sub owns_gold {
    my ($player) = @_;
    return scalar grep { $_->{pass} eq 'gold' } @{ progress($s, $player, season => $season)->{json}{passes} };
}

sub account {
    my ($player) = @_;
    return $s->economy(GET => "/sandbox/players/$player")->{json};
}

sub times_sent {
    my ($player) = @_;
    return { map { $_->{key} => $_->{times_sent} } @{ account($player)->{deliveries} } };
}

# Rows of deliveries by state.
sub states {
    return { map { @$_ } @{ $s->db->selectall_arrayref('SELECT state, COUNT(*) FROM delivery WHERE season_id = ? GROUP BY state', undef, $_[0] // $season) } };
}

sub all_delivered {
    my ($seconds, $in) = @_;
    my $db = $s->db;
    my $waiting = 'SELECT COUNT(*) FROM delivery WHERE season_id = ? AND state <> ?';
    my $ok = $s->wait_until($seconds, sub { !($db->selectrow_array($waiting, undef, $in // $season, 'delivered'))[0] });
    return ok($ok, 'all are delivered') || diag(join ' ', %{ states($in) });
}

# Every delivery of ours stands once in the economy's books, and nothing else does.
sub books_agree {
    my ($name, @players) = @_;
    my (%wanted, %found);
    my $list = join ',', map { "'$_'" } @players;
    my $rows = $s->db->selectall_arrayref("SELECT player_id, item, quantity FROM delivery WHERE player_id IN ($list)");
    $wanted{ join ' ', @$_ }++ for @$rows;
    for my $player (@players) {
        $found{ join ' ', $player, @$_{qw(item quantity)} }++ for @{ account($player)->{deliveries} };
    }
    ok(@$rows > 0, "$name: there is something to compare");
    return is(\%found, \%wanted, "$name: the economy has each once");
}

sub metric {
    my ($name) = @_;
    return $s->metrics->{"battlepass_$name"} // 0;
}

sub delivered { return metric('deliveries_total{outcome="delivered"}') }

sub gauge_becomes {
    my ($name, $value) = @_;
    return ok($s->wait_until(6, sub { metric($name) == $value }), "$name becomes $value") || diag("it is " . metric($name));
}

sub admin {
    my ($method, $path, $body) = @_;
    return api($s, $method, "/v1/admin/$path", { $s->as('support'), $body ? ('Idempotency-Key' => fresh_key()) : () }, $body);
}

# --- on a good day ---

subtest 'deliveries are sent' => sub {
    my ($player) = players(1, 3);
    my $delivered = delivered();
    my $began = time;
    my @keys = claim_all($player);
    is(scalar @keys, 3, 'three claims');
    ok($s->wait_until(5, sub { keys %{ times_sent($player) } == 3 }), 'and three deliveries');
    ok(time - $began < 2, 'soon');
    is(times_sent($player), { map { $_ => 1 } @keys }, 'with their own keys, once');
    all_delivered(5);
    my ($first) = grep { $_->{item} eq 'item-r1' } @{ account($player)->{deliveries} };
    is([ @$first{qw(kind quantity reference)} ], [ 'item', 2, "$season/r1" ], 'what, how many and what for');
    is(delivered() - $delivered, 3, 'counted');
    gauge_becomes('deliveries_pending', 0);
};

# --- when the economy is away ---

subtest 'the economy is down for a while' => sub {
    my ($player, $buyer) = players(2, 4);
    $s->as(player => $buyer);
    my %before = map { $_ => metric($_) } 'economy_unknown_total', 'deliveries_total{outcome="retried"}';
    $s->faults({ fault => 'down', delay_ms => 1000 });
    my @keys = claim_all($player);
    my ($status, $purchase) = buy($buyer);
    is($status, 202, 'a purchase is accepted');
    sleep 0.7;
    $s->clear_faults;
    ok(comes_to($buyer, $purchase, 'granted', 15), 'and granted when the economy is back') or diag(purchase($buyer, $purchase)->{state});
    is([ @{ account($buyer) }{qw(charges refunds)} ], [ 1, 0 ], 'charged once');
    ok(owns_gold($buyer), 'owned');
    all_delivered(10);
    is(times_sent($player), { map { $_ => 1 } @keys }, 'nothing was sent while nobody was there');
    ok(metric($_) > $before{$_}, "$_ counts the tries") || diag("$before{$_}, ", metric($_)) for sort keys %before;
    is(states()->{failed}, undef, 'and were not too many');
};

subtest 'a delivery that nobody takes is parked' => sub {
    my ($player) = players(1, 1);
    $s->faults({ fault => 'error_500', calls => 'deliveries' });
    my ($key) = claim_all($player);
    ok($s->wait_until(30, sub { (states()->{failed} // 0) == 1 }), 'failed');
    is($s->economy(GET => '/sandbox/faults')->{json}{faults}[0]{struck}, $tries, 'after as many tries as are configured');
    gauge_becomes('deliveries_failed', 1);
    gauge_becomes('deliveries_pending', 0);
    my ($row) = grep { $_->{delivery} eq $key } @{ admin(GET => 'deliveries?state=failed')->{json}{items} };
    is($row, hash { field state => 'failed'; field tries => $tries; field last_error => match qr/500/; etc }, 'in the list of the admin');
    like($s->log_text, qr/warning courier\[\d+\]: delivery $key .*has failed/, 'and in the log');
    sleep 1.5;
    is($s->economy(GET => '/sandbox/faults')->{json}{faults}[0]{struck}, $tries, 'it is left alone');
    $s->clear_faults;
    my $answer = admin(POST => "deliveries/$key/retry", { reason => 'the economy is well again' });
    is([ $answer->{status}, $answer->{json}{state} ], [ 200, 'pending' ], 'tried again') or diag($answer->{body});
    all_delivered(5);
    is(times_sent($player), { $key => 1 }, 'it came through');
    gauge_becomes('deliveries_failed', 0);

    my ($other) = players(1, 1);
    $s->faults({ fault => 'refuse', calls => 'deliveries' });
    my ($refused) = claim_all($other);
    ok($s->wait_until(5, sub { (states()->{failed} // 0) == 1 }), 'one that is refused fails');
    is($s->economy(GET => '/sandbox/faults')->{json}{faults}[0]{struck}, 1, 'at once');
    $s->clear_faults;
    admin(POST => "deliveries/$refused/retry", { reason => 'the economy knows it now' });
    all_delivered(5);
};

# --- purchases that nobody answers for ---

# As if it had been bought that many seconds earlier.
sub age {
    my ($purchase, $seconds) = @_;
    my $rows = $s->db->do('UPDATE purchase SET created_at_ms = created_at_ms - ? WHERE purchase_id = UNHEX(?)', undef, $seconds * 1000, $purchase =~ tr/-//dr);
    return is(0 + $rows, 1, "$seconds s later");
}

subtest 'unknown for too long: cancelled by its key' => sub {
    my $player = $s->fresh_player;
    $s->faults({ fault => 'error_500', calls => 'debits' });
    my ($status, $purchase) = buy($player);
    is($status, 202, 'accepted');
    sleep 1.5;
    is(purchase($player, $purchase)->{state}, 'debiting', 'asked for again and again');
    age($purchase, 61);
    ok(comes_to($player, $purchase, 'cancelled', 10), 'cancelled') or diag(purchase($player, $purchase)->{state});
    is([ map { $_->{state} } @{ purchase($player, $purchase)->{history} } ], [qw(debiting cancelling cancelled)], 'step by step');
    $s->clear_faults;
    is([ account($player)->{charges}, owns_gold($player) ], [ 0, 0 ], 'not charged, not owned');
    is((buy($player))[0], 201, 'it can be bought again');
};

subtest 'charged without a word, then given up: given all the same' => sub {
    my $player = $s->fresh_player;
    $s->faults({ fault => 'error_500_executed', calls => 'debits' });
    my (undef, $purchase) = buy($player);
    age($purchase, 61);
    ok(comes_to($player, $purchase, 'granted', 10), 'granted') or diag(purchase($player, $purchase)->{state});
    is([ map { $_->{state} } @{ purchase($player, $purchase)->{history} } ], [qw(debiting cancelling granted)], 'the cancel came too late, and the debit was looked up');
    $s->clear_faults;
    is([ account($player)->{charges}, owns_gold($player) ], [ 1, 1 ], 'charged once, owned');
    my ($entry) = grep { $_->{action} eq 'purchase_granted' } @{ admin(GET => "audit?player=$player")->{json}{items} };
    is([ @$entry{qw(actor role)} ], [ 'courier', 'service' ], 'by the courier');
};

subtest 'no debit after sales have closed' => sub {
    my $now = time;
    my $player = $s->fresh_player;
    $s->as(player => $player);
    $s->faults({ fault => 'drop_before', calls => 'debits' });
    publish_season($s, small_season('short', passes => \@passes, purchase_closes_at => iso_time($now + 4)));
    my $answer = api($s, 'POST', "/v1/seasons/short/players/$player/purchases", { $s->as(player => $player), 'Idempotency-Key' => fresh_key() }, { pass => 'gold' });
    is($answer->{status}, 202, 'accepted before') or diag($answer->{body});
    sleep($now + 4.5 - time) if time < $now + 4.5;
    $s->clear_faults;
    my $path = "/v1/seasons/short/players/$player/purchases/$answer->{json}{purchase}";
    my $state;
    $s->wait_until(10, sub { $state = api($s, 'GET', $path, { $s->as('viewer') })->{json}{state}; $state !~ /ing$/ });
    is([ $state, account($player)->{charges} ], [ 'cancelled', 0 ], 'cancelled, and nothing charged');
};

subtest 'a key that the economy may have forgotten: stuck, with an alarm' => sub {
    my $player = $s->fresh_player;
    is(metric('purchases_stuck'), 0, 'no alarm');
    $s->faults({ fault => 'error_500', calls => 'debits' }, { fault => 'error_500', calls => 'cancel' });
    my (undef, $purchase) = buy($player);
    age($purchase, 3601);
    ok(comes_to($player, $purchase, 'stuck', 10), 'stuck') or diag(purchase($player, $purchase)->{state});
    $s->clear_faults;
    gauge_becomes('purchases_stuck', 1);
    is([ map { $_->{purchase} } @{ admin(GET => 'purchases?state=stuck')->{json}{items} } ], [$purchase], 'in the list of the admin');
    my @lines = grep { /error courier.*$purchase/ } split /\n/, $s->log_text;
    is(scalar @lines, 1, 'one line in the log') or diag(@lines);
    sleep 1;
    is([ purchase($player, $purchase)->{state}, account($player)->{charges} ], [ 'stuck', 0 ], 'nobody asks again');
    gauge_becomes('purchases_open', 0);
};

# --- when the courier dies ---

subtest 'killed in the middle' => sub {
    my @players = players(60, 2);
    my @buyers = map { $s->fresh_player } 1 .. 8;
    $s->as(player => $_) for @buyers;
    $s->faults({ fault => 'late', calls => 'deliveries', delay_ms => 400 }, { fault => 'late_charge', calls => 'debits', delay_ms => 600 });
    my %keys = map { $_ => [ claim_all($_) ] } @players;
    my %purchase = map { $_ => (buy($_))[1] } @buyers;
    for my $i (1 .. 4) {
        sleep 0.15 + rand 0.3;
        ok(kill_courier(), "killed $i times");
    }
    for my $point (qw(courier_taken courier_sent courier_proven)) {
        my ($player) = players(1, 1);
        $s->as(player => $player);
        push @players, $player;
        push @buyers, $player;
        put_crash_point($point);
        $keys{$player} = [ claim_all($player) ];
        $purchase{$player} = (buy($player))[1];
        ok($s->wait_until(15, sub { !-e "$crash_dir/$point" }), "killed at $point") or unlink "$crash_dir/$point";
    }
    $s->clear_faults;
    all_delivered(30);
    for my $player (@buyers) {
        ok(comes_to($player, $purchase{$player}, 'granted', 30), 'granted') or diag(purchase($player, $purchase{$player})->{state});
    }
    is([ map { account($_)->{charges} . owns_gold($_) } @buyers ], [ ('11') x @buyers ], 'each charged once, and owned');
    is([ map { sort keys %{ times_sent($_) } } @players ], [ map { sort @{ $keys{$_} } } @players ], 'each claim has come through');
    books_agree('after it', @players);
    is($s->economy(GET => '/sandbox/totals')->{json}{charged_twice}, 0, 'nothing was charged twice');
    like($s->log_text, qr/courier/, 'the master told of it');
};

subtest 'asked to stop in the middle' => sub {
    my @players = players(40, 1);
    $s->faults({ fault => 'late', calls => 'deliveries', delay_ms => 700 });
    claim_all($_) for @players;
    my $began = time;
    $s->restart('battlepassd');
    my $took = time - $began;
    ok($took < 8, sprintf 'it ends and starts in %.1f s', $took);
    $s->clear_faults;
    all_delivered(15);
    books_agree('after it', @players);
    my @twice = grep { $_ > 1 } map { values %{ times_sent($_) } } @players;
    is(scalar @twice, 0, 'what was under way came to its end') or diag(scalar @twice);
};

# --- two of them ---

# A second daemon on the same database: its pid.
sub start_second {
    my $dir = $s->dir;
    (my $run = $s->env->{MYSQL_SOCKET}) =~ s{/[^/]+$}{2};
    mkdir $run or die "$run: $!";
    open my $in, '<', $s->env->{BATTLEPASS_CONF} or die "conf: $!";
    my $text = do { local $/ = undef; <$in> };
    $text =~ s/^run_dir = .*$/run_dir = "$run"/m or die 'no run_dir';
    open my $out, '>', "$dir/second.conf" or die "second.conf: $!";
    print {$out} $text;
    close $out or die "second.conf: $!";
    (my $program = $s->env->{BATTLEPASSCTL}) =~ s/battlepassctl$/battlepassd/;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', "$dir/second.log";
        open STDERR, '>&', \*STDOUT;
        exec $program, '-c', "$dir/second.conf" or POSIX::_exit(127);
    }
    ok($s->wait_until(10, sub { courier_of($pid) }), 'a second daemon runs');
    return $pid;
}

sub end_second {
    my ($pid) = @_;
    CORE::kill('TERM', $pid);
    my $ended = $s->wait_until(20, sub { waitpid($pid, POSIX::WNOHANG()) == $pid });
    ok($ended && $? == 0, 'and ends');
    return $ended || CORE::kill('KILL', $pid);
}

subtest 'two couriers on one database' => sub {
    my $second = start_second();
    my @players = players(300, 1);
    my $delivered = delivered();
    # Executed at once: a second one would be counted while the first still waits for its answer.
    $s->faults({ fault => 'late', calls => 'deliveries', delay_ms => 300 });
    claim_all($_) for @players;
    all_delivered(60);
    $s->clear_faults;
    my %sent;
    $sent{$_}++ for map { values %{ times_sent($_) } } @players;
    is(\%sent, { 1 => 300 }, 'none was sent twice');
    my $share = delivered() - $delivered;
    ok($share > 30 && $share < 270, "each had its part: one $share of 300");

    # One that sleeps with calls under way has lost them when it wakes up.
    my @more = players(40, 1);
    $s->faults({ fault => 'late', calls => 'deliveries', delay_ms => 800 });
    my $first = courier();
    claim_all($_) for @more;
    sleep 0.2;
    CORE::kill('STOP', $first);
    $s->clear_faults;
    all_delivered($hold_s + 15);
    my @before = map { times_sent($_) } @more;
    CORE::kill('CONT', $first);
    sleep 2;
    is([ map { times_sent($_) } @more ], \@before, 'it sends nothing again');
    is(states()->{pending}, undef, 'and makes nothing pending again');
    books_agree('after it', @players, @more);
    end_second($second);
};

# --- when claims close ---

subtest 'what is left when claims close, by a courier that dies half-way' => sub {
    my $now = time;
    my $closing = $now + 8;
    my %policy = (free => { policy => 'claim' }, gold => { policy => 'convert', item => 'dust', quantity => 7 }, silver => { policy => 'forfeit' });
    my @tracks = ({ pass => 'free', free => JSON::PP::true, auto_claim => $policy{free} },
        map { { pass => $_, price => { currency => 'gems', amount => 5 }, auto_claim => $policy{$_} } } qw(gold silver));
    publish_season($s, small_season('over', starts_at => iso_time($now - 9000), purchase_closes_at => iso_time($now - 5000), ends_at => iso_time($now - 3600),
        late_window_s => 86_400, claim_until => iso_time($closing), passes => \@tracks,
        rewards => [ map { my $tier = $_; map { reward(substr($_, 0, 1) . $tier, $tier, $_) } qw(free gold silver) } 1 .. 3 ]));
    # Three pages of players, two tiers each; some have passes.
    my @players = players(150, 2, season => 'over', more => { occurred_at => iso_time($now - 4000) });
    my ($golden, $silver) = @players[0, 1];
    for ([ $golden, 'gold' ], [ $silver, 'silver' ]) {
        my $answer = api($s, 'POST', "/v1/admin/seasons/over/players/$_->[0]/pass-grants", { $s->as('support'), 'Idempotency-Key' => fresh_key() }, { pass => $_->[1], reason => 'a test' });
        is($answer->{status}, 200, "$_->[1] is given") or diag($answer->{body});
    }
    put_crash_point('auto_claimed');
    ok(time < $closing, 'in time');
    ok($s->wait_until(30, sub { !-e "$crash_dir/auto_claimed" }), 'killed after a page, before its mark');
    my $count = 'SELECT COUNT(DISTINCT player_id) FROM claim WHERE season_id = ?';
    my ($so_far) = $s->db->selectrow_array($count, undef, 'over');
    is($so_far, 64, 'a page is done');
    my $done = sub { ($s->db->selectrow_array('SELECT done FROM chore WHERE name = ?', undef, 'auto_claim:over'))[0] };
    ok($s->wait_until(40, $done), 'the next courier goes on to the end');
    my %sum;
    my $rows = $s->db->selectall_arrayref('SELECT player_id, kind, item, quantity FROM delivery WHERE season_id = ?', undef, 'over');
    push @{ $sum{ $_->[0] } }, "$_->[1] $_->[2] $_->[3]" for @$rows;
    my @plain = ('item item-f1 2', 'item item-f2 3');
    is({ map { $_ => [ sort @{ $sum{$_} // [] } ] } @players },
        { (map { $_ => \@plain } @players), $golden => [ ('currency dust 7') x 2, @plain ] }, 'claimed, converted, forfeited: each once');
    my ($entries, $authors) = $s->db->selectrow_array(
        "SELECT COUNT(*), COUNT(DISTINCT player_id) FROM audit_log WHERE season_id = 'over' AND action = 'auto_claim' AND actor = 'courier' AND role = 'service'");
    is([ $entries, $authors ], [ 150, 150 ], 'one entry in the log for each player');
    my $seen = progress($s, $golden, season => 'over')->{json};
    is([ sort @{ $seen->{claimed} } ], [qw(f1 f2 g1 g2)], 'a read shows it');
    all_delivered(15, 'over');
    is(account($golden)->{wallets}{dust}, 14, 'and the economy has it');
    my $fingerprint = fingerprint($s);
    ok(kill_courier(), 'another courier');
    sleep 6;
    is(fingerprint($s), $fingerprint, 'does nothing more');
};

done_testing;
