#!/usr/bin/perl
# An update's two orders: this build on the schema of the release before it, and on one that a later release has added to. Either
# way everything works, and migrations run while players play.
use Test2::V0 '!call';
use lib 't/lib';
use Battlepass::Client;
use Battlepass::Load qw(start_load stop_load);
use Battlepass::Stack;
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Temp qw(tempdir);

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $scratch = tempdir('battlepass-schemas-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my @files = sort glob "$source/sql/*.sql";

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

# The versions in store/migrate.h: what this build needs, and what it has.
my ($needed, $has) = slurp("$source/src/store/migrate.h") =~ /SCHEMA_VERSION_NEEDED = (\d+), SCHEMA_VERSION = (\d+)/ or die 'migrate.h has no versions';

# A folder of the first so many files, and of more that are made here: name => text.
sub schema_folder {
    my ($count, %more) = @_;
    my $folder = "$scratch/sql-" . ($count + keys %more);
    mkdir $folder or die "$folder: $!";
    $more{ basename($_) } = slurp($_) for @files[ 0 .. $count - 1 ];
    for my $name (keys %more) {
        open my $out, '>', "$folder/$name" or die "$name: $!";
        print {$out} $more{$name};
        close $out or die "$name: $!";
    }
    return $folder;
}

my $s = Battlepass::Stack->new(sql => schema_folder($needed));
my $db = $s->db;

sub version { return ($db->selectrow_array('SELECT MAX(version) FROM schema_migration WHERE finished'))[0] }
sub epoch { return ($db->selectrow_array('SELECT epoch FROM cache_control'))[0] }
sub cached { my ($player) = @_; return $s->wait_until(10, sub { from_cache(progress($s, $player)) }) }

# Everything that writes, and what reads each table.
sub everything_works {
    my ($name) = @_;
    my $season = $name;
    my $mine = "/v1/seasons/$season/players/$name-player";
    my %gamer = ($s->as(player => "$name-player"));
    my $call = sub {
        my ($method, $path, $as, $body) = @_;
        return api($s, $method, $path, { %$as, 'Idempotency-Key' => fresh_key() }, $body);
    };
    my %support = $s->as('support');
    my %admin = $s->as('admin');
    my $care = "/v1/admin/seasons/$season/players/$name-player";
    my $true = JSON::PP::true;
    publish_season($s, small_season($season));
    my @grant = ({ player => "$name-player", amount => 50, source => 'match', idempotency_key => fresh_key() });
    is(grant($s, "$name-player", 250, season => $season)->{status}, 201, "$name: a grant");
    is(batch($s, \@grant, season => $season)->{json}{results}[0]{status}, 'granted', "$name: a batch");
    is($call->('POST', "$mine/claims", \%gamer, { all => $true })->{status}, 200, "$name: claims");
    $s->economy('PUT', "/sandbox/wallets/$name-player", { currency => 'gems', balance => 100 });
    my $bought = $call->('POST', "$mine/purchases", \%gamer, { pass => 'gold' });
    is($bought->{status}, 201, "$name: a purchase");
    is($call->('GET', "$mine/purchases/$bought->{json}{purchase}", \%gamer)->{status}, 200, "$name: which is shown") or diag($bought->{body});
    is($call->('POST', "$care/xp-corrections", \%support, { amount => 10, reason => 'a test' })->{status}, 200, "$name: a correction");
    is($call->('POST', "$care/tier-grants", \%support, { tiers => 1, reason => 'a test' })->{status}, 200, "$name: tiers");
    is($call->('POST', "$care/reset", \%support, { claims => 'keep', reason => 'a test' })->{status}, 200, "$name: a reset");
    is($call->('PUT', '/v1/admin/flags', \%admin, { auditor_checks_per_s => 20, reason => 'a test' })->{status}, 200, "$name: a flag");
    is($call->('POST', '/v1/admin/cache/warm', \%admin, { reason => 'a test' })->{status}, 200, "$name: warming");
    is($call->('GET', $_, \%support)->{status}, 200, "$name: GET $_")
        for "$mine/progress", "$mine/xp-grants", '/v1/seasons', "/v1/players/$name-player/seasons", "/v1/admin/players/$name-player",
            '/v1/admin/purchases', '/v1/admin/deliveries', "/v1/admin/audit?player=$name-player";
    is($call->('GET', '/v1/admin/flags', \%admin)->{status}, 200, "$name: flags");
    is([ $s->ctl(qw(player verify --season), $season, "$name-player") ], [ 0, T() ], "$name: all of it holds");
    ok($s->wait_until(20, sub { $call->('GET', '/v1/admin/deliveries?state=pending', \%support)->{json}{items}->@* == 0 }), "$name: rewards are delivered");
    return;
}

sub under_load {
    my ($name, $code) = @_;
    my $season = $s->season;
    my $load = start_load(
        read => [ 2, sub { my ($n) = @_; return sub { my $answer = progress($s, "load-$n"); return { ok => $answer->{status} == 200, status => $answer->{status} } } } ],
        grant => [ 2, sub { my ($n) = @_; return sub { my $answer = grant($s, "load-$n", 1); return { ok => $answer->{status} == 201, status => $answer->{status} } } } ],
    );
    $code->();
    my $total = stop_load($load);
    is([ map { $_->{status} } @{ $total->{$_}{failed} } ], [], "$name: 0 of $total->{$_}{done} failed ($_)") for qw(read grant);
    cmp_ok($total->{$_}{done}, '>', 20, "$name: there were enough ($_)") for qw(read grant);
    return;
}

sub migrate {
    my ($folder) = @_;
    my ($status, $text) = $s->ctl('migrate', '--sql', $folder);
    is($status, 0, 'migrated') or diag($text);
    return;
}

ok(await_cache($s), 'the cache is in use');
is(version(), $needed, "the schema is the one before: $needed");
cmp_ok($needed, '<', $has, 'and this build has a newer one');

subtest 'on the schema of before' => sub {
    like($s->log_text, qr/the schema is at version $needed, and this build has $has.*battlepassctl migrate/, 'the log says so');
    like(($s->ctl('doctor'))[1], qr/schema is at version $needed, and this build has $has.*migrate/s, 'doctor, too');
    everything_works('before');
    ok(cached('load-1'), 'reads come from the cache');
};

subtest 'migrated while it runs' => sub {
    my $epoch = epoch();
    under_load('migrating', sub {
        migrate("$source/sql");
        ok($s->wait_until(10, sub { epoch() > $epoch }), 'the steward names the life of the database, in a new epoch');
        ok(cached('load-1'), 'and the cache is in use again');
    });
    is(version(), $has, "the schema is at $has");
    is([ $db->selectrow_array('SELECT COUNT(*) FROM database_life') ], [1], 'the life has a name');
    everything_works('migrated');
    my $settled = epoch();
    $s->reload;
    everything_works('reloaded');
    is(epoch(), $settled, 'and the epoch stays');
};

# What a later release may add: columns anywhere with a default, tables, keys.
subtest 'on a schema of later' => sub {
    my $tables = $db->selectcol_arrayref('SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name NOT LIKE ?', undef, 'schema_migration%');
    my $next = join '', map { "ALTER TABLE $_ ADD COLUMN later_first INT NOT NULL DEFAULT 7 FIRST, ADD COLUMN later_last VARCHAR(20) NULL;\n" } sort @$tables;
    $next .= "CREATE TABLE later (id INT NOT NULL, PRIMARY KEY (id));\nALTER TABLE progress ADD KEY later (xp, player_id);\n";
    my $folder = schema_folder(scalar @files, sprintf('%04d_later.sql', @files + 1) => $next);
    under_load('migrating', sub {
        migrate($folder);
        ok(cached('load-1'), 'reads come from the cache');
    });
    is(version(), $has + 1, 'the schema is at ' . ($has + 1));
    everything_works('later');
    $s->{sql} = $folder;
    $s->restart('battlepassd');
    ok(await_cache($s), 'a build that is started there takes it');
    everything_works('started');
    is($s->server_errors, 0, 'and no answer is an error');
};

done_testing;
