#!/usr/bin/perl
# Warming and flushing: a new epoch and an operator's word load the players active last, newest first and nothing older than what is
# stored; it stops where a flag says so, goes on where it stood, and battlepassctl shows how far it is.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

my $s = Battlepass::Stack->new(config => "cache { warm_per_s = 400 }\n");
my $season = $s->season;
my $true = JSON::PP::true;
my $false = JSON::PP::false;
my $db = $s->db;

sub steer {
    my ($method, $path, %options) = @_;
    my $as = delete $options{as} // ['admin'];
    my $key = exists $options{key} ? delete $options{key} : fresh_key();
    return api($s, $method, "/v1/admin/$path", { $s->as(@$as), defined $key ? ('Idempotency-Key' => $key) : () }, { reason => 'a test', %options });
}

sub warming { return $db->selectrow_hashref('SELECT * FROM cache_warming') }
sub epoch { return 0 + [ $db->selectrow_array('SELECT epoch FROM cache_control') ]->[0] }
sub cached { my ($player, $in) = @_; return ($s->redis('GET', cache_key($s, $player, $in)) // '') =~ /^V/ ? 1 : 0 }

sub await_warm {
    my ($epoch) = @_;
    return $s->wait_until(20, sub { my $w = warming(); return $w->{done} && $w->{epoch} >= $epoch && $w });
}

sub flush {
    my $old = epoch();
    my $answer = steer(POST => 'cache/flush', reason => 'away with it');
    $s->wait_until(10, sub { epoch() > $old && await_cache($s, 1) }) or die 'no new epoch';
    return ($answer, $old);
}

await_cache($s);
await_warm(epoch());
my @players = map { $s->fresh_player } 1 .. 60;
grant($s, $players[$_], 10 + $_) for 0 .. $#players;

subtest 'the hour of activity' => sub {
    my ($hour) = $db->selectrow_array('SELECT active_hour FROM progress WHERE player_id = ?', undef, $players[0]);
    ok(abs($hour - time / 3600) <= 1.01, 'written with the row') or diag($hour);
};

subtest 'flush: a new epoch, warmed by itself' => sub {
    my $key = fresh_key();
    my $hits = $s->metrics->{battlepass_cache_hits_total};
    my ($answer, $old) = flush();
    is($answer->{status}, 200, 'flushed') or diag($answer->{body});
    is([ @{ $answer->{json}{before} }{qw(epoch enabled)} ], [ "$old", $true ], 'before');
    is([ @{ $answer->{json}{after} }{qw(epoch enabled)} ], [ "$old", $false ], 'after');
    ok(await_warm(epoch()), 'the new epoch is warmed');
    is(scalar(grep { cached($_) } @players), scalar @players, 'everybody is in it');
    ok($s->metrics->{battlepass_cache_warmed_total} >= @players, 'counted as warmed');
    my $misses = $s->metrics->{battlepass_cache_misses_total};
    my @wrong = grep { my $r = progress($s, $players[$_]); !from_cache($r) || $r->{json}{xp} != 10 + $_ } 0 .. $#players;
    is(\@wrong, [], 'everybody is read from the cache, and true');
    is($s->metrics->{battlepass_cache_misses_total}, $misses, 'without a miss');
    is(steer(POST => 'cache/flush', as => ['support'])->{status}, 403, 'support may not flush');
    is_problem(steer(POST => 'cache/flush', key => undef), 400, 'missing_idempotency_key', 'a flush without a key');
};

subtest 'newest first, no more than asked for' => sub {
    steer(PUT => 'flags', warming => $false);
    sleep 0.5;
    flush();
    sleep 1;
    is(scalar(grep { cached($_) } @players), 0, 'nothing is warmed while the flag is off');
    $db->do('UPDATE progress SET active_hour = 5 WHERE season_id = ?', undef, $season);
    my @newest = @players[10 .. 14];
    $db->do('UPDATE progress SET active_hour = active_hour + ? WHERE season_id = ? AND player_id = ?', undef, $_ + 1, $season, $newest[$_]) for 0 .. $#newest;
    steer(PUT => 'flags', warming => $true);
    await_warm(epoch()) or fail('the new epoch is warmed');
    steer(PUT => 'flags', warming => $false);
    sleep 0.5;
    $s->redis('DEL', cache_key($s, $_)) for @players;
    my $answer = steer(POST => 'cache/warm', players => 3);
    is($answer->{status}, 200, 'asked for three') or diag($answer->{body});
    my $request = $answer->{json}{after}{request};
    sleep 0.7;
    ok(!warming()->{done}, 'it waits for the flag');
    steer(PUT => 'flags', warming => $true);
    ok($s->wait_until(10, sub { my $w = warming(); $w->{request} == $request && $w->{done} }), 'done');
    is([ map { cached($_) } @newest ], [ 0, 0, 1, 1, 1 ], 'the three newest');
    is(scalar(grep { cached($_) } @players), 3, 'and nobody else');
    is_problem(steer(POST => 'cache/warm', season => 'nowhere'), 400, 'invalid_field', 'no such season', pointer => '/season');
    is_problem(steer(POST => 'cache/warm', players => 0), 400, 'invalid_field', 'nobody', pointer => '/players');
};

subtest 'never over anything newer' => sub {
    $s->redis('DEL', cache_key($s, $_)) for @players;
    my $fence = cache_key($s, $players[0]);
    $s->redis('SET', $fence, 'T99.0123456789abcdef', 'PX', 60_000);
    my $busy = cache_key($s, $players[1]);
    $s->redis('SET', $busy, 'L0123456789abcdef', 'PX', 60_000);
    my ($status, $text) = $s->ctl('cache', 'warm', '--reason', 'again');
    is($status, 0, 'battlepassctl waits until it is done') or diag($text);
    like($text, qr/^\d+ of \d+ players$/m, 'and tells how far it is');
    like($text, qr/^done: \d+ players loaded/m, 'and what it did');
    is($s->redis('GET', $fence), 'T99.0123456789abcdef', 'a fence of a later write stays');
    is($s->redis('GET', $busy), 'L0123456789abcdef', 'and who is filling');
    is(scalar(grep { cached($_) } @players[2 .. $#players]), @players - 2, 'the others are loaded');
    $s->redis('DEL', $fence, $busy);
    my @errors = $s->in_parallel(3, sub {
        my ($number) = @_;
        return [$s->ctl('cache', 'warm', '--reason', 'meanwhile')]->[0] if $number == 0;
        my $wrong = 0;
        for my $round (1 .. 60) {
            my $player = $players[ 20 + ($round + 20 * $number) % 40 ];
            my $grant = grant($s, $player, 1);
            $wrong++ if progress($s, $player)->{json}{revision} < $grant->{json}{revision};
        }
        return $wrong;
    });
    is(\@errors, [ 0, 0, 0 ], 'writes meanwhile are read as they were acknowledged');
};

subtest 'who is outside of the share is not loaded' => sub {
    steer(PUT => 'flags', cache_share => 0);
    sleep 0.5;
    $s->redis('DEL', cache_key($s, $_)) for @players;
    is(($s->ctl('cache', 'warm', '--reason', 'nobody'))[0], 0, 'warmed');
    is(scalar(grep { cached($_) } @players), 0, 'nobody is loaded');
    steer(PUT => 'flags', cache_share => 100);
    sleep 0.5;
};

subtest 'the rate' => sub {
    my $since = time;
    my $w = warming();
    is(($s->ctl('cache', 'warm', '--reason', 'fast'))[0], 0, 'warmed');
    cmp_ok(time - $since, '>=', @players / 400 * 0.5, 'not faster than allowed');
};

subtest 'what is shown of a player' => sub {
    my ($player, $other) = @players[0, 1];
    grant($s, $player, 1);
    my $show = sub { return api($s, 'GET', "/v1/admin/cache/players/$_[0]", { $s->as('admin') }) };
    my $answer = $show->($player);
    is($answer->{status}, 200, 'an admin may look') or diag($answer->{body});
    is($answer->{json}, hash {
        field player => $player; field epoch => '' . epoch(); field enabled => $true; field reached => $true;
        field seasons => [ hash {
            field season => $season; field revision => '2'; field state => 'value'; field cached_revision => '2';
            field cached_season_revision => T; field ttl_ms => T; end;
        } ];
        end;
    }, 'a value beside the revision');
    $s->redis('SET', cache_key($s, $player), 'T2.0123456789abcdef', 'PX', 60_000);
    is($show->($player)->{json}{seasons}[0], hash { field state => 'fence'; field cached_revision => '2'; etc }, 'a fence');
    $s->redis('SET', cache_key($s, $player), 'L0123456789abcdef', 'PX', 60_000);
    is($show->($player)->{json}{seasons}[0]{state}, 'filling', 'a token');
    $s->redis('SET', cache_key($s, $player), 'rubbish');
    is($show->($player)->{json}{seasons}[0], hash { field state => 'other'; field season => T; field revision => T; end }, 'what is not ours');
    $s->redis('DEL', cache_key($s, $player));
    is($show->($player)->{json}{seasons}[0]{state}, 'absent', 'nothing');
    is($show->($s->fresh_player)->{json}{seasons}, [], 'who has no row');
    is(api($s, 'GET', "/v1/admin/cache/players/$player", { $s->as($_) })->{status}, 403, "$_ may not") for qw(support viewer server);
    like(($s->ctl('cache', 'show', $other))[1], qr/^\Q$season\E: revision \d+; cache: value of revision \d+/m, 'on the command line');
    like(($s->ctl('cache', 'status'))[1], qr/^epoch \d+: on$/m, 'the status');
    isnt(($s->ctl('cache', 'flush'))[0], 0, 'no flush without a reason');
    my $old = epoch();
    is(($s->ctl('cache', 'flush', '--reason', 'by hand'))[0], 0, 'a flush with one');
    ok($s->wait_until(10, sub { epoch() > $old }), 'begins a new epoch');
};

subtest 'audited' => sub {
    my $count = sub { return scalar @{ api($s, 'GET', "/v1/admin/audit?action=$_[0]&page_size=200", { $s->as('viewer') })->{json}{items} } };
    cmp_ok($count->('cache_flushed'), '>=', 3, 'flushes');
    cmp_ok($count->('cache_warmed'), '>=', 4, 'warmings');
    is(api($s, 'GET', '/v1/admin/audit:verify', { $s->as('viewer') })->{json}{good}, $true, 'the chains are good');
};

done_testing;
