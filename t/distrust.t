#!/usr/bin/perl
# A host that is cut off from Redis: it goes on with the database, nobody anywhere reads what was before its writes, and the other
# host keeps its cache and its epoch. When it is back, a relay gives the players to the cache again.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

my @hosts = map { Battlepass::Stack->new } 1, 2;
my ($whole, $cut) = @hosts;
my $line = $cut->dir . '/line.sock'; # the second host's way to Redis

sub connect_line {
    symlink $whole->env->{REDIS_SOCKET}, $line or die "$line: $!";
    return;
}

# Connections that stand are ended for both: the first host makes new ones at once.
sub cut_line {
    unlink $line or die "$line: $!";
    $whole->redis(qw(CLIENT KILL TYPE normal SKIPME yes));
    return;
}

sub control { return $whole->db->selectrow_hashref('SELECT epoch, enabled, settled, change_number FROM cache_control') }
sub distrusted { return $whole->db->selectcol_arrayref('SELECT player_id FROM cache_distrust ORDER BY player_id') }

# Which Redis the hosts say that they reach: how many of them reach one.
sub hosts_that_reach {
    my ($count) = $whole->db->selectrow_array("SELECT COUNT(*) FROM cache_host WHERE redis_id <> '' AND seen_at_ms > (UNIX_TIMESTAMP(NOW(3)) - 3) * 1000");
    return $count;
}

sub timed {
    my ($code) = @_;
    my $begin = time;
    my $answer = $code->();
    return ($answer, time - $begin);
}

# What a host reads, and where from.
sub reads {
    my ($host, $player) = @_;
    my $answer = progress($host, $player);
    return [ $answer->{status}, $answer->{json}{xp}, timing($answer) ];
}

connect_line();
$cut->join_host($whole, redis => $line);
ok(await_cache($_), 'the cache is in use') or bail_out('reads never come from the cache') for @hosts;
$_->token(server => 'server-1') for @hosts;

my @others = map { $whole->fresh_player } 1 .. 30;
grant($whole, $_, 10) for @others;
my $player = $whole->fresh_player;
my $before = control();

subtest 'cut off' => sub {
    is(grant($whole, $player, 100)->{status}, 201, 'a player');
    is(reads($_, $player), [ 200, 100, 'cache' ], 'cached for both') for @hosts;
    cut_line();
    ok($whole->wait_until(5, sub { hosts_that_reach() == 1 }), 'one host says that it reaches Redis');
    ok($whole->wait_until(5, sub { ($cut->metrics->{battlepass_cache_breaker_state} // 0) == 1 }), 'the breaker of the other is open');
    is(reads($cut, $player), [ 200, 100, 'store' ], 'it reads from the database');
    ok($whole->wait_until(3, sub { reads($whole, $player)->[2] eq 'cache' }), 'the first host from the cache');

    my ($answer, $seconds) = timed(sub { grant($cut, $player, 1) });
    is($answer->{status}, 201, 'a write on the host that is cut off');
    cmp_ok($seconds, '>=', 0.5, 'waits until no lease is alive that covers the player');
    is(reads($_, $player), [ 200, 101, 'store' ], 'both read what was written') for @hosts;
    is(distrusted(), [$player], 'the player is distrusted');
    ($answer, $seconds) = timed(sub { grant($cut, $player, 1) });
    is($answer->{status}, 201, 'the next write');
    cmp_ok($seconds, '<', 0.45, 'waits for nothing');
    is(reads($whole, $player), [ 200, 102, 'store' ], 'and is seen');
    ($answer, $seconds) = timed(sub { grant($whole, $player, 1) });
    is($answer->{status}, 201, 'a write on the host that reaches Redis');
    cmp_ok($seconds, '<', 0.45, 'does not wait either');
    is(reads($_, $player), [ 200, 103, 'store' ], 'and is seen by both') for @hosts;
};

subtest 'what it costs the other host' => sub {
    my $cached = sub { return !grep { "@{ reads($whole, $_) }" ne '200 10 cache' } @others };
    ok($whole->wait_until(5, $cached), 'everybody else still comes from its cache');
    is(control(), $before, 'epoch and switch are as they were');
    is($cut->metrics->{battlepass_cache_switched_off_total}, 0, 'nobody turned it off');
    is($whole->metrics->{battlepass_cache_distrusted_players}, 1, 'one player is distrusted');
};

subtest 'the relay' => sub {
    ok($whole->wait_until(15, sub { !@{ distrusted() } }), 'takes the distrust away while the host is still cut off');
    ok($whole->wait_until(3, sub { reads($whole, $player)->[2] eq 'cache' }), 'the player is cached again');
    is(reads($whole, $player), [ 200, 103, 'cache' ], 'as he is');
    is($whole->metrics->{battlepass_cache_relayed_total}, 1, 'and that was counted');
    my ($answer, $seconds) = timed(sub { grant($cut, $player, 1) });
    is($answer->{status}, 201, 'another write of the host that is cut off');
    cmp_ok($seconds, '>=', 0.5, 'waits again');
    is(reads($whole, $player), [ 200, 104, 'store' ], 'and is seen');
};

subtest 'back' => sub {
    connect_line();
    ok($cut->wait_until(8, sub { reads($cut, $others[0])->[2] eq 'cache' }), 'it reads from the cache again');
    my ($answer, $seconds) = timed(sub { grant($cut, $others[0], 5) });
    is($answer->{status}, 201, 'it writes');
    cmp_ok($seconds, '<', 0.45, 'without a wait');
    is(reads($_, $others[0]), [ 200, 15, 'cache' ], 'and has warmed the cache for both') for @hosts;
    ok($whole->wait_until(15, sub { !@{ distrusted() } }), 'nobody is distrusted in the end');
    # Each host's steward learns of it with its next lease.
    for my $host (@hosts) {
        ok($host->wait_until(3, sub { reads($host, $player)->[2] eq 'cache' }), 'the player is cached again');
        is(reads($host, $player), [ 200, 104, 'cache' ], 'as he is');
    }
    is(control(), $before, 'all of it in one epoch');
};

done_testing;
