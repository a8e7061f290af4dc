#!/usr/bin/perl
# debian/README.Debian: its first chapter is typed, line by line, into a shell whose package manager, systemd and nginx are the private
# stack. From an empty database it must come to a grant, and the rights that it gives must be enough, to the daemon without those of
# the schema.
use Test2::V0;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use lib 't/lib';
use Battlepass::Stack;

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $scratch = tempdir('battlepass-readme-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $etc = "$scratch/etc";
my $s = Battlepass::Stack->new(binary_log => 1);
my $run = dirname($s->env->{MYSQL_SOCKET});

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/ = undef;
    return scalar <$in>;
}

sub spew {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
    return;
}

# chapter => the lines that are typed there.
my %typed = do {
    my ($chapter, %found) = ('');
    for my $line (split /\n/, slurp("$source/debian/README.Debian")) {
        $chapter = $1 if $line =~ /^(\d+)\. /;
        push @{ $found{$chapter} }, $line if $line =~ s/^ {4}(?=\S)//;
    }
    %found;
};

# What stands for the machine: its packages, users and services.
my $machine = <<"BASH";
exec 2>&1
export BATTLEPASS_SQL_DIR='$source/sql'
apt-get() { echo "apt-get \$*"; }
usermod() { :; }
chgrp() { :; }
nginx() { :; }
mariadb() { command mariadb --no-defaults --socket='$run/mariadb.sock' --user=root; }
battlepassctl() { '$build/battlepassctl' -c '$etc/battlepass/battlepass.conf' "\$@"; }
battlepassd() { '$build/battlepassd' -c '$etc/battlepass/battlepass.conf' "\$@"; }
install() {
    local words=()
    while ((\$#)); do
        if [[ \$1 == -[og] ]]; then shift; else words+=("\$1"); fi
        shift
    done
    command install "\${words[\@]}"
}
systemctl() {
    echo "systemctl \$*"
    [[ \$* == 'restart battlepass.service' ]] || return 0
    setsid '$build/battlepassd' -c '$etc/battlepass/battlepass.conf' >>'$scratch/log' 2>&1 </dev/null &
    for _ in {1..200}; do [[ -S '$run/admin.sock' && -s '$run/battlepassd.pid' ]] && return; sleep 0.1; done
    return 1
}
BASH

# exit status, and what was printed.
sub type {
    my (@lines) = @_;
    my $text = join "\n", @lines, '';
    $text =~ s{/etc/(?=battlepass|mysql|redis|nginx)}{$etc/}g;
    $text =~ s{/usr/share/doc/battlepass/examples}{$source/examples}g;
    $text =~ s{https://localhost(?=/)}{$s->tls_url}ge;
    $text =~ s{--cacert \S+}{--cacert $s->{env}{BATTLEPASS_CA}}g;
    spew("$scratch/typed", "$machine\n$text");
    open my $out, '-|', 'bash', '--norc', '-e', "$scratch/typed" or die "bash: $!";
    local $/ = undef;
    my $said = <$out> // '';
    close $out;
    return ($? >> 8, $said);
}

sub stop_daemon {
    my ($pid) = slurp("$run/battlepassd.pid") =~ /(\d+)/;
    kill 'TERM', $pid;
    return ok($s->wait_until(30, sub { !-e "$run/battlepassd.pid" }), 'the daemon ends');
}

# Whatever ends this test ends the daemon, which the stack does not know.
END {
    local $? = $?;
    kill 'TERM', slurp("$run/battlepassd.pid") =~ /(\d+)/ if $run && -s "$run/battlepassd.pid";
}

subtest 'what is typed' => sub {
    is([ sort keys %typed ], [ 1, 2, 3, 4, 5 ], 'chapters with something to type');
    my %command = map { $_ => 1 } `$build/battlepassctl --help` =~ /^  ((?:[a-z]+ ?)+?)(?: [^a-z\n].*)?\n      /mg;
    for my $line (map { @{ $typed{$_} } } sort keys %typed) {
        spew("$scratch/line", "$line\n");
        is(system('bash', '-n', "$scratch/line"), 0, "a whole command: $line");
        unlike($line, qr/\\$|^\s|<</, 'which can be pasted by itself');
        next unless $line =~ /^battlepassctl ((\w+)(?: \w+)?)/;
        ok($command{$1} || $command{$2}, "$1 is a command");
    }
};

$s->stop('battlepassd');
my $db = $s->db;
$db->do($_) for 'DROP DATABASE battlepass', 'DROP USER battlepass@localhost';
make_path("$etc/battlepass/conf.d", "$etc/mysql/mariadb.conf.d", "$etc/redis", "$etc/nginx/sites-enabled");
spew("$etc/redis/redis.conf", "port 6379\n");
spew("$etc/battlepass/battlepass.conf",
    slurp("$source/debian/conf/battlepass.conf") =~ s{/etc/}{$etc/}r . "run_dir = '$run'\nstore {\n\tsocket = '$run/mariadb.sock'\n}\ncache {\n\tsocket = '$run/redis.sock'\n}\n");

subtest 'five minutes' => sub {
    my ($status, $said) = type(@{ $typed{1} });
    is($status, 0, 'each line succeeds') or diag($said);
    like($said, qr{^HTTP/2 201.*^\{.*"xp_after":1500\b.*"tier_after":[1-9].*^HTTP/2 200.*^\{.*"xp":1500\b}ms, 'a grant, and where the player stands') or diag($said);
    unlike($said, qr/^FAIL/m, 'doctor finds nothing that does not work');
    # The cache is on a moment later, and limits are this machine's business.
    is([ grep { !/^(?:cache|limits)$/ } $said =~ /^warn +(\w+)/mg ], ['economy'], 'and warns of the economy') or diag($said);
    is(slurp("$etc/redis/redis.conf"), "port 6379\ninclude $etc/redis/battlepass.conf\n", 'Redis includes the example');
    is(slurp("$etc/redis/battlepass.conf"), slurp("$source/examples/redis.conf"), 'which is there');
    is([ map { sprintf '%s %04o', $_, (stat "$etc/battlepass/$_")[2] & 07777 } 'conf.d/50-database.conf', 'keys/private.json', 'keys/set.json', 'tls/privkey.pem' ],
        [ 'conf.d/50-database.conf 0640', 'keys/private.json 0600', 'keys/set.json 0640', 'tls/privkey.pem 0600' ], 'who may read what');
    is(system("openssl verify -CAfile $etc/battlepass/tls/fullchain.pem -verify_hostname localhost $etc/battlepass/tls/fullchain.pem >$scratch/openssl 2>&1"), 0,
        'the certificate is one for localhost');
    is(system("openssl pkey -in $etc/battlepass/tls/privkey.pem -noout"), 0, 'with its key');
    ($status, $said) = type(grep { !/^(?:mariadb|echo|DB_PASSWORD|install|printf|openssl|battlepassctl (?:key|season))|battlepass\.service|^curl.*progress/ } @{ $typed{1} });
    is($status, 0, 'what may be typed again is') or diag($said);
    like($said, qr{^HTTP/2 201.*^idempotent-replayed: true}ims, 'and the grant is the same one');
    is(slurp("$etc/redis/redis.conf") =~ tr/\n//, 2, 'Redis has it once');
};

subtest 'rights' => sub {
    stop_daemon();
    $db->do('REVOKE CREATE, ALTER, INDEX, DROP ON battlepass.* FROM battlepass@localhost');
    my ($status, $said) = type('systemctl restart battlepass.service');
    is($status, 0, 'the daemon starts without those of the schema') or diag($said);
    my %token;
    for my $role (qw(player server support viewer)) {
        (undef, $said) = type("battlepassctl token --key /etc/battlepass/keys/private.json --role $role --sub p-2");
        ($token{$role}) = $said =~ /(\S+)\n\z/;
    }
    my $key = 0;
    my $call = sub {
        my ($role, $method, $path, $body) = @_;
        return $s->request($method, $path, { Authorization => "Bearer $token{$role}", 'Idempotency-Key' => 'r-' . ++$key }, $body)->{status};
    };
    my ($mine, $admin) = ('/v1/seasons/s1/players/p-2', '/v1/admin/seasons/s1/players/p-2');
    is($call->('server', 'POST', "$mine/xp-grants", { amount => 5000, source => 'match' }), 201, 'a grant');
    is($call->('player', 'POST', "$mine/claims", { all => JSON::PP::true }), 200, 'claims');
    is($call->('support', 'POST', "$admin/pass-grants", { pass => 'premium', reason => 'a test' }), 200, 'a pass');
    is($call->('support', 'POST', "$admin/reset", { claims => 'forget', reason => 'a test' }), 200, 'a reset');
    is($call->('viewer', 'GET', '/v1/admin/players/p-2'), 200, 'the whole of a player');
    ($status, $said) = type('battlepassctl cache flush --reason test', 'battlepassctl flag warming off --reason test', 'battlepassctl audit verify', 'battlepassctl player verify --all');
    is($status, 0, 'what operators do') or diag($said);
    my $log = slurp("$scratch/log");
    unlike($log, qr/denied/, 'nothing was denied');
    ($status, $said) = type('battlepassctl migrate');
    is([ $status, $said ], [ 1, match qr/denied/ ], 'migrate needs them');
    stop_daemon();
};

subtest 'removing' => sub {
    my ($status, $said) = type(grep { !/systemctl/ } @{ $typed{5} });
    is($status, 0, 'each line succeeds') or diag($said);
    is(slurp("$etc/redis/redis.conf"), "port 6379\n", 'Redis is as it was');
    ok(!-e "$etc/$_", "no $_") for 'battlepass', 'redis/battlepass.conf', 'nginx/sites-enabled/battlepass';
    is($db->selectcol_arrayref("SHOW DATABASES LIKE 'battlepass'"), [], 'nor a database');
};

done_testing;
