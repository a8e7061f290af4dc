#!/usr/bin/perl
# The auditor: finds nothing in a healthy run, and an old or a too new answer that is planted in Redis is found, logged, counted and
# removed, after which the next read is right.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

my $s = Battlepass::Stack->new;
my $season = $s->season;

sub counted { my ($name) = @_; return $s->metrics->{"battlepass_cache_audit_${name}_total"} }

sub set_flags {
    my (%flags) = @_;
    return api($s, 'PUT', '/v1/admin/flags', { $s->as('admin'), 'Idempotency-Key' => fresh_key() }, { reason => 'a test', %flags });
}

await_cache($s);
set_flags(auditor_checks_per_s => 1000);
my @players = map { $s->fresh_player } 1 .. 5;
grant($s, $_, 10) for @players;

subtest 'a healthy run' => sub {
    my $before = counted('checks');
    my $until = time + 4;
    while (time < $until) {
        grant($s, $_, 1) for @players;
        progress($s, $_) for @players;
    }
    cmp_ok(counted('checks') - $before, '>', 500, 'many checks');
    note('checks: ', counted('checks') - $before);
    is(counted('stale'), 0, 'nothing stale');
};

# Puts another revision into the cached value; what was there before.
sub plant {
    my ($player, $by) = @_;
    my $key = cache_key($s, $player);
    progress($s, $player);
    my $value = $s->redis('GET', $key);
    my ($revision) = $value =~ /^V(\d+)\./ or die "no value: $value";
    my $planted = $revision + $by;
    (my $stale = $value) =~ s/^V\d+/V$planted/;
    $stale =~ s/"revision":"\d+"/"revision":"$planted"/;
    $s->redis('SET', $key, $stale, 'PX', 600_000);
    return $revision;
}

for my $case ([ 'an old answer', -1 ], [ 'one that the database has lost', 3 ]) {
    my ($name, $by) = @$case;
    subtest $name => sub {
        my $player = $players[0];
        my $stale = counted('stale');
        my $revision = plant($player, $by);
        ok($s->wait_until(10, sub { counted('stale') > $stale }), 'counted');
        my $planted = $revision + $by;
        ok($s->wait_until(2, sub { $s->log_text =~ /player \Q$player\E in season \Q$season\E: the cache had revision $planted in epoch \d+, and the database has $revision: it is gone/ }),
            'logged with both revisions');
        is($s->redis('GET', cache_key($s, $player)) =~ /^V$planted\./ ? 'there' : 'gone', 'gone', 'removed');
        my $answer = progress($s, $player);
        is([ timing($answer), $answer->{json}{revision} ], [ 'store', "$revision" ], 'the next read is right');
        sleep 0.5;
        is(counted('stale'), $stale + 1, 'found once');
    };
}

subtest 'off' => sub {
    set_flags(auditor_checks_per_s => 0);
    sleep 0.6;
    my $before = counted('checks');
    sleep 1;
    is(counted('checks'), $before, 'no checks');
};

done_testing;
