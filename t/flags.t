#!/usr/bin/perl
# The rollout flags: who is served from the cache, in force on all hosts within 2 seconds, changed by admins and on the command line,
# audited in a chain of its own; writes go on whatever they say.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Stack;
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use Time::HiRes qw(sleep time);

my $s = Battlepass::Stack->new;
my $season = $s->season;
my $true = JSON::PP::true;
my $false = JSON::PP::false;
my $uuid = qr/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/;

sub flags {
    my (@as) = @_;
    return api($s, 'GET', '/v1/admin/flags', { $s->as(@as ? @as : 'admin') });
}

# key, as, headers; what is left stands in the body.
sub set_flags {
    my (%options) = @_;
    my $as = delete $options{as} // ['admin'];
    my $key = exists $options{key} ? delete $options{key} : fresh_key();
    return api($s, 'PUT', '/v1/admin/flags', { $s->as(@$as), defined $key ? ('Idempotency-Key' => $key) : () }, { reason => 'a test', %options });
}

# A second host: a daemon of its own on the same database and Redis; only its sockets are asked.
my $second_dir = tempdir('bpXXXXX', TMPDIR => 1, CLEANUP => 1);
my $second = fork // die "fork: $!";
if ($second == 0) {
    open STDERR, '>', "$second_dir/log";
    (my $daemon = $s->env->{BATTLEPASSCTL}) =~ s/battlepassctl$/battlepassd/;
    exec $daemon, '-c', $s->env->{BATTLEPASS_CONF}, '-o', "run_dir=$second_dir" or POSIX::_exit(127);
}
END { local $?; if ($second) { kill 'TERM', $second; waitpid $second, 0 } }
my $ready = $s->wait_until(15, sub { -S "$second_dir/store.sock" && -s "$second_dir/battlepassd.pid" });
ok($ready, 'a second daemon runs');

# Where the second host's store lane has a player's progress from.
sub second_source {
    my ($player) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => "$second_dir/store.sock") or return 'none';
    my %auth = $s->as('server');
    print {$socket} fcgi_request({ REQUEST_METHOD => 'GET', REQUEST_URI => "/v1/seasons/$season/players/$player/progress",
        HTTP_AUTHORIZATION => $auth{Authorization} });
    $socket->flush;
    my $answer = fcgi_read($socket);
    return $answer ? timing($answer) // $answer->{status} : 'none';
}

# Seconds until both hosts serve that player as they shall.
sub in_force {
    my ($player, $source) = @_;
    my $since = time;
    $s->wait_until(10, sub { (timing(progress($s, $player)) // '') eq $source && second_source($player) eq $source });
    return time - $since;
}

await_cache($s);
my @players = map { $s->fresh_player } 1 .. 60;
grant($s, $_, 10) for @players;
sub served { return { map { $_ => 1 } grep { from_cache(progress($s, $_)) } @players } }

subtest 'as they come' => sub {
    my $answer = flags();
    is($answer->{status}, 200, 'an admin reads them');
    is($answer->{json}, { revision => '1', cache_share => 100, cache => $true, warming => $true, auditor_checks_per_s => 10 }, 'everybody is served');
    is($answer->{headers}{etag}, '"1"', 'the revision is the tag');
    is(api($s, 'GET', '/v1/admin/flags', { $s->as('admin'), 'If-None-Match' => '"1"' })->{status}, 304, 'not modified');
    is(flags($_)->{status}, 403, "$_ may not") for qw(player server viewer support designer);
    is(set_flags(as => [$_], cache => $false)->{status}, 403, "$_ may not set them") for qw(player server viewer support designer);
    is(second_source($players[0]), 'cache', 'the second host serves from the cache');
    is(scalar(keys %{ served() }), scalar(@players), 'all players come from the cache');
};

subtest 'what is refused' => sub {
    is_problem(set_flags(key => undef, cache => $false), 400, 'missing_idempotency_key', 'missing_idempotency_key');
    is_problem(set_flags(), 400, 'invalid_field', 'invalid_field');
    is_problem(set_flags(cache_share => 101), 400, 'invalid_field', '/cache_share: invalid_field', pointer => '/cache_share');
    is_problem(set_flags(cache_share => -1), 400, 'invalid_field', '/cache_share: invalid_field', pointer => '/cache_share');
    is_problem(set_flags(cache => 1), 400, 'invalid_field', '/cache: invalid_field', pointer => '/cache');
    is_problem(set_flags(auditor_checks_per_s => 1001), 400, 'invalid_field', '/auditor_checks_per_s: invalid_field', pointer => '/auditor_checks_per_s');
    is_problem(set_flags(color => 'red'), 400, 'unknown_field', '/color: unknown_field', pointer => '/color');
    is_problem(set_flags(cache => $true, reason => ''), 400, 'invalid_field', '/reason: invalid_field', pointer => '/reason');
    is(flags()->{json}{revision}, '1', 'nothing was changed');
};

subtest 'a dry run' => sub {
    my $key = fresh_key();
    my $answer = set_flags(cache_share => 5, validate_only => $true, key => $key);
    is($answer->{json}{validate_only}, $true, 'said so');
    is([ $answer->{json}{before}{cache_share}, $answer->{json}{after}{cache_share} ], [ 100, 5 ], 'and what would be');
    is(flags()->{json}{cache_share}, 100, 'it is not');
    is([ $s->db->selectrow_array("SELECT COUNT(*) FROM audit_log WHERE player_id = ''") ], [0], 'no entry');
    is(set_flags(cache_share => 100, key => $key)->{status}, 200, 'the key is free');
};

subtest 'off and on' => sub {
    my $answer = set_flags(cache => $false);
    is($answer->{status}, 200, 'off') or diag($answer->{body});
    my $seconds = in_force($players[0], 'store');
    ok($seconds < 2, 'in force on both hosts within 2 s') or diag($seconds);
    note(sprintf 'off after %.0f ms', 1000 * $seconds);
    my $before = $s->metrics->{battlepass_cache_bypassed_total};
    is(served(), {}, 'nobody comes from the cache');
    is($s->metrics->{battlepass_cache_bypassed_total} - $before, scalar @players, 'and each is counted once');
    my $fences = $s->metrics->{battlepass_cache_fences_total};
    my $confirms = $s->metrics->{battlepass_cache_confirms_total};
    my $transactions = grant($s, $players[0], 5);
    is($transactions->{json}{xp_after}, 15, 'a write goes on');
    is($s->metrics->{battlepass_cache_fences_total} - $fences, 1, 'it fences');
    is($s->metrics->{battlepass_cache_confirms_total} - $confirms, 1, 'and confirms');
    my $fresh = $s->fresh_player;
    progress($s, $fresh);
    is($s->redis('EXISTS', cache_key($s, $fresh)), 0, 'a read leaves nothing in Redis');
    set_flags(cache => $true);
    $seconds = in_force($players[0], 'cache');
    ok($seconds < 2, 'on again within 2 s') or diag($seconds);
    is(progress($s, $players[0])->{json}{xp}, 15, 'what was written meanwhile is true');
};

subtest 'shares' => sub {
    my %before;
    for my $share (0, 10, 30, 60, 90, 100) {
        set_flags(cache_share => $share);
        sleep 0.5;
        my $now = served();
        is([ grep { !$now->{$_} } sort keys %before ], [], "$share %: who was in stays in");
        cmp_ok(abs(keys(%$now) / @players - $share / 100), '<=', 0.25, "about $share % are served") or diag(scalar keys %$now);
        %before = %$now;
    }
    is(scalar keys %before, scalar @players, 'all at 100 %');
};

subtest 'once only' => sub {
    my $key = fresh_key();
    my $first = set_flags(cache_share => 50, key => $key);
    my $again = set_flags(cache_share => 50, key => $key);
    is($again->{json}, $first->{json}, 'the same answer');
    is($again->{headers}{'idempotent-replayed'}, 'true', 'as a replay');
    is_problem(set_flags(cache_share => 51, key => $key), 422, 'idempotency_key_reused', 'idempotency_key_reused');
    is_problem(set_flags(cache_share => 50, warming => $false, key => $key), 422, 'idempotency_key_reused', 'idempotency_key_reused');
    my @revisions = map { $_->{json}{after}{revision} } $s->in_parallel(8, sub { return set_flags(cache_share => 20 + $_[0]) });
    my %distinct = map { $_ => 1 } @revisions;
    is(scalar keys %distinct, 8, 'changes at once come one after the other');
    set_flags(cache_share => 100);
};

subtest 'on the command line' => sub {
    my ($status, $text) = $s->ctl('flag');
    is($status, 0, 'listed');
    like($text, qr/^$_:/m, "with $_") for qw(cache_share cache warming auditor_checks_per_s);
    is([ $s->ctl('flag', 'cache') ], [ 0, "on\n" ], 'one');
    ($status, $text) = $s->ctl('flag', 'cache_share', '40', '--reason', 'less load');
    is($status, 0, 'set') or diag($text);
    is([ $s->ctl('flag', 'cache_share') ], [ 0, "40\n" ], 'it is');
    isnt(($s->ctl('flag', 'cache_share', '50'))[0], 0, 'not without a reason');
    like(($s->ctl('flag', 'cache_share', '101', '--reason', 'x'))[1], qr/0 to 100/, 'not more than all');
    like(($s->ctl('flag', 'cache', 'maybe', '--reason', 'x'))[1], qr/on or off/, 'a switch is on or off');
    like(($s->ctl('flag', 'cash'))[1], qr/no such flag/, 'no other flags');
    is(flags()->{json}{cache_share}, 40, 'what was refused changed nothing');
    set_flags(cache_share => 100);
};

subtest 'audited' => sub {
    my $answer = set_flags(warming => $false, reason => 'Großer Umbau');
    set_flags(warming => $true);
    my $list = api($s, 'GET', '/v1/admin/audit?action=flags_changed&page_size=200', { $s->as('viewer') })->{json}{items};
    my ($entry) = grep { $_->{entry} eq $answer->{json}{operation} } @$list;
    is($entry, hash {
        field player => undef; field season => undef; field action => 'flags_changed'; field actor => 'admin-1'; field role => 'admin';
        field reason => 'Großer Umbau'; field request_id => $answer->{headers}{'x-request-id'};
        field before => hash { field warming => $true; etc };
        field after => hash { field warming => $false; etc };
        etc;
    }, 'who, why, before and after');
    my ($by_ctl) = grep { $_->{reason} eq 'less load' } @$list;
    is([ @$by_ctl{qw(actor role)} ], [ scalar getpwuid($<), 'operator' ], 'the Unix user of the command line');
    is([ map { 0 + $_->{sequence} } @$list ], [ reverse 1 .. @$list ], 'one chain');
    my $verify = sub { return api($s, 'GET', '/v1/admin/audit:verify', { $s->as('viewer') })->{json} };
    is($verify->()->{good}, $true, 'the chain is good');
    is(($s->ctl('audit', 'verify'))[0], 0, 'battlepassctl says so, too');
    my $db = $s->db;
    $db->do("UPDATE audit_log SET reason = 'nothing' WHERE player_id = '' AND sequence = 2");
    is($verify->()->{broken}, hash { field player => undef; field season => undef; field sequence => '2'; etc }, 'a change is found');
    like(($s->ctl('audit', 'verify'))[1], qr/^operators: entry 2: .*hash/m, 'by battlepassctl, too');
    $db->do("UPDATE audit_log SET reason = 'a test' WHERE player_id = '' AND sequence = 2");
    is($verify->()->{good}, $true, 'good again');
    my $count = @$list;
    my @last = $db->selectrow_array("SELECT audit_count, audit_hash FROM cache_flags");
    $db->do("UPDATE audit_log SET player_id = 'away' WHERE player_id = '' AND sequence = $count");
    is($verify->()->{broken}, hash { field player => undef; field sequence => "$count"; etc }, 'a missing end is found');
    $db->do("UPDATE audit_log SET player_id = '' WHERE player_id = 'away'");
    $db->do('UPDATE cache_flags SET audit_count = 0');
    is($verify->()->{broken}, hash { field player => undef; field sequence => '1'; etc }, 'a head that knows of none, too');
    $db->do("UPDATE cache_flags SET audit_count = $last[0]");
    is($verify->()->{good}, $true, 'all is good again');
};

done_testing;
