#!/usr/bin/perl
# A database that is not what the cache knows: restored from a backup, so that the cache holds what was never made; or read-only,
# because another one is the primary now. And a key of Redis that somebody else has written.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use Time::HiRes qw(sleep time);

use constant LEASE_S => 0.55; # the steward's, and the margin of clocks

my $s = Battlepass::Stack->new;
my $db = $s->db;
my $season = $s->season;

sub control { return $db->selectrow_hashref('SELECT epoch, enabled, settled FROM cache_control') }
sub back_to { my ($player, $xp, $revision) = @_; $db->do('UPDATE progress SET xp = ?, revision = ? WHERE player_id = ?', undef, $xp, $revision, $player); return }

sub reads {
    my ($player) = @_;
    my $answer = progress($s, $player);
    return [ $answer->{status}, $answer->{json}{xp}, timing($answer) ];
}

ok(await_cache($s), 'the cache is in use') or bail_out('reads never come from the cache');

subtest 'no epoch is used twice' => sub {
    cmp_ok(abs(control()->{epoch} - time), '<', 600, 'an epoch is not behind the clock');
    my $before = control();
    $db->do('UPDATE cache_control SET epoch = 3, change_number = change_number + 1, settled = FALSE, enabled = FALSE');
    ok($s->wait_until(10, sub { control()->{enabled} && await_cache($s, 1) }), 'a database that has forgotten some');
    cmp_ok(control()->{epoch}, '>', $before->{epoch}, 'begins one that was never used');
};

for my $newer (1, 40) {
    subtest "restored: the cache is $newer ahead" => sub {
        my $player = $s->fresh_player;
        grant($s, $player, 10) for 0 .. $newer;
        ok($s->wait_until(3, sub { reads($player)->[2] eq 'cache' }), 'cached');
        my $epoch = control()->{epoch};
        back_to($player, 10, 1);
        my $answer = grant($s, $player, 5);
        is($answer->{status}, 201, 'a grant on what is stored');
        is([ @{ reads($player) }[ 0, 1 ] ], [ 200, 15 ], 'and nobody reads of the other past');
        ok($s->wait_until(30, sub { control()->{epoch} > $epoch }), 'a new epoch begins');
        ok($s->wait_until(5, sub { reads($player)->[2] eq 'cache' }), 'the cache is in use again');
        is(reads($player)->[1], 15, 'with what is stored');
    };
}
like($s->log_text, qr/warning store.*newer revision than the database.*restored/, 'the log says why');

# InnoDB shows a commit to others just before it is on the disk: a reader may have cached what a crash has undone.
subtest 'a crash that has lost a commit' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 10) for 1 .. 2;
    ok($s->wait_until(3, sub { reads($player)->[2] eq 'cache' }), 'cached');
    my $epoch = control()->{epoch};
    my @processes = ($s->master_pid, keys %{ $s->workers });
    CORE::kill('STOP', @processes);
    $s->kill('mariadb');
    $s->start('mariadb');
    $db = $s->db;
    back_to($player, 10, 1);
    sleep LEASE_S; # what was trusted before must not be what is seen
    CORE::kill('CONT', @processes);
    my %seen;
    my $read = sub {
        my $answer = progress($s, $player);
        return '' if $answer->{status} != 200 || ($answer->{headers}{'cache-status'} // '') =~ /unconfirmed/; # says so itself
        $seen{ $answer->{json}{xp} } = 1;
        return timing($answer);
    };
    ok($s->wait_until(15, sub { $read->() eq 'cache' }), 'the cache is in use again');
    is([ keys %seen ], [10], 'nobody reads what was lost');
    cmp_ok(control()->{epoch}, '>', $epoch, 'in a new epoch');
    is(grant($s, $player, 5)->{status}, 201, 'a grant on what is stored');
    is(reads($player)->[1], 15, 'counts');
};

subtest 'read-only: not the primary' => sub {
    my ($cached, $other) = ($s->fresh_player, $s->fresh_player);
    grant($s, $_, 10) for $cached, $other;
    ok($s->wait_until(3, sub { reads($cached)->[2] eq 'cache' }), 'cached');
    my $epoch = control()->{epoch};
    $s->redis('DEL', cache_key($s, $other));
    $db->do('SET GLOBAL read_only = 1');
    is(reads($other)->[0], 503, 'what is not cached cannot be read: another database may know better');
    is(grant($s, $cached, 1)->{status}, 503, 'nor written');
    ok($s->wait_until(3, sub { (progress($s, $cached)->{headers}{'cache-status'} // '') =~ /unconfirmed/ }), 'cached answers go on, unconfirmed');
    is([ @{ reads($cached) }[ 0, 1 ] ], [ 200, 10 ], 'as without a database');
    $db->do('SET GLOBAL read_only = 0');
    ok($s->wait_until(5, sub { reads($other)->[0] == 200 }), 'all is well afterwards');
    ok($s->wait_until(5, sub { reads($other)->[2] eq 'cache' }), 'and cached again');
    is(control()->{epoch}, $epoch, 'in the same epoch');
    like($s->log_text, qr/read-only: it is not the primary/, 'the log says why');
};

subtest 'a key of another type' => sub {
    my $player = $s->fresh_player;
    grant($s, $player, 10);
    my $epoch = control()->{epoch};
    $s->redis('DEL', cache_key($s, $player));
    $s->redis('HSET', cache_key($s, $player), 'x', 1);
    is(reads($player), [ 200, 10, 'store' ], 'is no answer');
    my $begin = time;
    is(grant($s, $player, 5)->{status}, 201, 'a write');
    cmp_ok(time - $begin, '<', 0.4, 'waits for nobody');
    is(reads($player), [ 200, 15, 'cache' ], 'and takes its place');
    is(control()->{epoch}, $epoch, 'the cache stays as it is');
};

done_testing;
