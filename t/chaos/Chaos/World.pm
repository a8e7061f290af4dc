# All that stands: t/stack's MariaDB and Redis, two hosts, one nginx with a port for each host and one for both, and the
# driver. What is done to it stands in Chaos::Faults.
package Chaos::World;

use strict;
use warnings;

use Carp qw(croak);
use Chaos::Host;
use Chaos::Nginx;
use Chaos::Process;
use DBI;
use File::Copy qw(copy);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use Time::HiRes qw(sleep time);

# A planted fault shows sooner where more happens to each.
use constant { PLAYERS => 300, PLAYERS_OF_MUTANTS => 24 };

my @worlds;

# source (the checkout), build, programs, seed, classes (names), mutant, keep.
sub new {
    my ($class, %options) = @_;
    my $self = bless { %options, scratch => tempdir('battlepass-chaos-XXXXXX', TMPDIR => 1), owner => $$ }, $class;
    push @worlds, $self;
    srand $self->{seed};
    $self->_start_stack;
    $self->{hosts} = [ map { $self->_host($_) } qw(a b) ];
    $_->start for $self->hosts;
    $self->{nginx} = Chaos::Nginx->start("$self->{scratch}/nginx", $self->{source}, $self->{stack}, map { [ $_->name, $_->run_dir ] } $self->hosts);
    $self->await_cache(20) or croak 'the cache does not come into use';
    $self->_start_driver;
    return $self;
}

sub _stack_command {
    my ($self, $command, @services) = @_;
    my $log = "$self->{scratch}/stack.log";
    my $pid = fork // croak "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>>', $log;
        open STDERR, '>&', \*STDOUT;
        exec "$self->{source}/t/stack", $command, '--dir', "$self->{scratch}/stack",
            $command eq 'start' ? ('--build', $self->{build}, '--binary-log') : (), @services or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    croak "t/stack $command @services failed:\n", _end_of($log) if $?;
    return;
}

sub _end_of {
    my ($log) = @_;
    open my $in, '<', $log or return '';
    my @lines = <$in>;
    return join '', @lines > 80 ? @lines[ -80 .. -1 ] : @lines;
}

# Its own battlepassd has made database, season, keys and tokens, and is not needed any more.
sub _start_stack {
    my ($self) = @_;
    $self->_stack_command('start');
    $self->_stack_command('stop', qw(nginx battlepassd economy));
    open my $in, '<', "$self->{scratch}/stack/env" or croak "env: $!";
    my $text = do { local $/ = undef; <$in> };
    $self->{stack} = { $text =~ /^export (\w+)='(.*)'$/mg };
    return;
}

sub _host {
    my ($self, $name) = @_;
    return Chaos::Host->new(
        name => $name,
        folder => "$self->{scratch}/$name",
        seed => $self->{seed} * 10 + ord $name,
        map { $_ => $self->{$_} } qw(stack build programs mutant),
    );
}

sub _start_driver {
    my ($self) = @_;
    $self->{driver} = Chaos::Process->start(
        command => [
            "$self->{programs}/driver", '--season', $self->{stack}{BATTLEPASS_SEASON}, '--token', $self->{stack}{SERVER_TOKEN},
            '--players', defined $self->{mutant} ? PLAYERS_OF_MUTANTS : PLAYERS, '--seed', $self->{seed}, (map { ('--port', $_) } $self->{nginx}->ports),
            map { ('--class', $_) } @{ $self->{classes} },
        ],
        log => "$self->{scratch}/driver.log",
        input => 1,
        output => 1,
    );
    $self->{began} = time;
    return;
}

# --- the load ---

sub seconds { return time - $_[0]{began} }

sub driver {
    my ($self, $command) = @_;
    $self->{driver}->runs or croak "the driver has ended: see $self->{scratch}/driver.log";
    print { $self->{driver}{input} } "$command\n";
    return;
}

sub _driver_answer {
    my ($self) = @_;
    my @lines;
    while (defined(my $line = readline $self->{driver}{output})) {
        chomp $line;
        return @lines if $line eq '.';
        push @lines, $line;
    }
    croak "the driver has ended: see $self->{scratch}/driver.log";
}

# class => { name => figure }
sub figures {
    my ($self) = @_;
    $self->driver('figures');
    my %figures;
    for my $line ($self->_driver_answer) {
        my ($class, $rest) = $line =~ /^class (\S+) (.*)$/ or next;
        $figures{$class} = { $rest =~ /(\w+)=(\S+)/g };
    }
    return \%figures;
}

# The load ends; what was written is compared with what was answered.
sub judge {
    my ($self) = @_;
    $self->driver('wind-up');
    $self->_driver_answer;
    my ($ledger, $rows, $curve) = map { "$self->{scratch}/$_.tsv" } qw(ledger rows curve);
    $self->_dump($ledger, 'SELECT player_id, revision, idempotency_key, amount, xp_after, tier_after FROM xp_grant WHERE season_id = ? ORDER BY player_id, revision');
    $self->_dump($rows, 'SELECT player_id, revision, xp FROM progress WHERE season_id = ?');
    open my $out, '>', $curve or croak "$curve: $!";
    my $total = 0;
    print {$out} $total += $_->{xp}, "\n" for @{ $self->_season->{tiers} };
    close $out or croak "$curve: $!";
    $self->driver("judge $ledger $rows $curve");
    $self->_driver_answer;
    return;
}

sub _season {
    my ($self) = @_;
    open my $in, '<', "$self->{source}/examples/season.json" or croak "season.json: $!";
    local $/ = undef;
    return JSON::PP->new->utf8->decode(<$in>);
}

sub _dump {
    my ($self, $file, $query) = @_;
    my $db = $self->database;
    my $statement = $db->prepare($query);
    $statement->execute($self->{stack}{BATTLEPASS_SEASON});
    open my $out, '>', $file or croak "$file: $!";
    while (my $row = $statement->fetchrow_arrayref) {
        print {$out} join("\t", @$row), "\n";
    }
    close $out or croak "$file: $!";
    return;
}

sub violations {
    my ($self) = @_;
    open my $in, '<', "$self->{scratch}/driver.log" or return '';
    local $/ = undef;
    return <$in> // '';
}

# --- hosts and chance ---

sub hosts { return @{ $_[0]{hosts} } }
sub any_host { return $_[0]{hosts}[ int rand 2 ] }

sub any {
    my ($self, @of) = @_;
    return $of[ int rand @of ];
}

sub between {
    my ($self, $least, $most) = @_;
    return $least + rand($most - $least);
}

# Seconds that are left of the round's faults.
sub left {
    my ($self) = @_;
    return $self->{until} - time;
}

# Not longer than the round; meanwhile the harness says how it goes.
sub pause {
    my ($self, $seconds) = @_;
    my $end = time + $seconds;
    $end = $self->{until} if $self->{until} && $end > $self->{until};
    while ((my $left = $end - time) > 0) {
        sleep($left < 0.25 ? $left : 0.25);
        $self->{watch}->() if $self->{watch};
    }
    return;
}

sub _ready {
    my ($self) = @_;
    $self->{http} //= HTTP::Tiny->new(timeout => 2);
    return !grep { $self->{http}->get("http://127.0.0.1:$_/readyz?verbose")->{content} !~ /"cache":"trusted"/ } $self->{nginx}->internal_ports;
}

sub await_cache {
    my ($self, $seconds) = @_;
    my $deadline = time + $seconds;
    until ($self->_ready) {
        return 0 if time > $deadline;
        $self->{watch}->() if $self->{watch};
        sleep 0.05;
    }
    return 1;
}

# --- MariaDB and Redis ---

sub pid_of {
    my ($self, $service) = @_;
    open my $in, '<', "$self->{scratch}/stack/pid/$service" or croak "$service: no pid";
    return 0 + <$in>;
}

# As root, past the proxies.
sub database {
    my ($self) = @_;
    return DBI->connect("DBI:MariaDB:database=battlepass;mariadb_socket=$self->{stack}{MYSQL_SOCKET}", 'root', '',
        { RaiseError => 1, PrintError => 0, AutoCommit => 1 });
}

sub kill_server {
    my ($self, $service) = @_;
    $self->_stack_command('kill', $service);
    return;
}

sub start_server {
    my ($self, $service) = @_;
    $self->_stack_command('start', $service);
    return;
}

# One command, straight to Redis; its answer's first line, or nothing.
sub redis {
    my ($self, @words) = @_;
    return $self->ask_redis($self->{stack}{REDIS_SOCKET}, @words);
}

sub ask_redis {
    my ($self, $path, @words) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $path) or return;
    print {$socket} sprintf('*%d', scalar @words), "\r\n", map { sprintf("\$%d\r\n%s\r\n", length, $_) } @words;
    $socket->flush;
    vec(my $bits = '', fileno $socket, 1) = 1;
    return unless select $bits, undef, undef, 2;
    return scalar <$socket>;
}

# --- two Redis, of which one is the master ---

# A replica needs a port of its master's; Redis takes one while it runs.
sub start_spare {
    my ($self) = @_;
    my %pair = map { ($_ => { port => free_port() }) } qw(first spare);
    $pair{first}{socket} = $self->{stack}{REDIS_SOCKET};
    $pair{spare}{socket} = "$self->{scratch}/spare.sock";
    $self->redis(qw(CONFIG SET bind 127.0.0.1));
    $self->redis(qw(CONFIG SET port), $pair{first}{port});
    $self->redis(qw(CONFIG SET repl-diskless-sync-delay 0));
    $pair{spare}{process} = Chaos::Process->start(
        command => [ 'redis-server', '--port', $pair{spare}{port}, '--bind', '127.0.0.1', '--unixsocket', $pair{spare}{socket},
            '--save', '', '--dir', $self->{scratch}, '--repl-diskless-sync-delay', 0, '--replicaof', '127.0.0.1', $pair{first}{port} ],
        log => "$self->{scratch}/spare.log",
    );
    $self->{pair} = [ @pair{qw(first spare)} ];
    return;
}

# What the hosts are led to at the end is the first again, whatever it holds by then.
sub stop_spare {
    my ($self) = @_;
    $self->redis(qw(REPLICAOF NO ONE));
    $_->lead_to($self->{stack}{REDIS_SOCKET}, 1) for $self->hosts;
    $_->{process} && $_->{process}->stop for @{ delete $self->{pair} };
    $self->redis(qw(CONFIG SET port 0));
    return;
}

# The one that the hosts are led to, and the other.
sub pair { return @{ $_[0]{pair} } }
sub swap_pair { @{ $_[0]{pair} } = reverse @{ $_[0]{pair} }; return }

sub follow {
    my ($self, $follower, $master) = @_;
    $self->ask_redis($follower->{socket}, 'REPLICAOF', '127.0.0.1', $master->{port});
    return;
}

sub promote {
    my ($self, $server) = @_;
    $self->ask_redis($server->{socket}, qw(REPLICAOF NO ONE));
    return;
}

# Has the follower all that its master has?
sub await_follower {
    my ($self, $follower) = @_;
    my $deadline = time + 3;
    while (time < $deadline && $self->left > 0) {
        my $socket = IO::Socket::UNIX->new(Peer => $follower->{socket}) or sleep(0.02), next;
        print {$socket} "INFO replication\r\n";
        $socket->flush;
        sysread $socket, my $text, 4096;
        return if ($text // '') =~ /master_link_status:up/;
        sleep 0.02;
    }
    return;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or croak "no port: $!";
    return $socket->sockport;
}

sub _dump_file { return "$_[0]{scratch}/stack/redis/dump.rdb" }

# What Redis holds now, to be found again later.
sub save_redis {
    my ($self) = @_;
    $self->redis('SAVE') // return;
    copy($self->_dump_file, "$self->{scratch}/old.rdb") or croak "dump.rdb: $!";
    unlink $self->_dump_file;
    return;
}

# Before a start: old data, where there are any, or none.
sub load_redis {
    my ($self, $old) = @_;
    unlink $self->_dump_file;
    copy("$self->{scratch}/old.rdb", $self->_dump_file) if $old && -e "$self->{scratch}/old.rdb";
    return;
}

# --- the end ---

sub stop {
    my ($self) = @_;
    return if $self->{stopped}++;
    $self->{driver}->stop if $self->{driver};
    $_->{process} && $_->{process}->stop for @{ $self->{pair} // [] };
    $_->stop for grep { defined } @{ $self->{hosts} // [] };
    $self->{nginx}->stop if $self->{nginx};
    for my $service (qw(redis mariadb)) {
        my $pid = eval { $self->pid_of($service) } or next;
        kill 'CONT', $pid;
    }
    $self->_stack_command('stop') if -e "$self->{scratch}/stack/.battlepass-stack";
    remove_tree($self->{scratch}) unless $self->{keep};
    return;
}

END {
    my $status = $?;
    for my $world (grep { $_->{owner} == $$ } @worlds) {
        eval { $world->stop; 1 } or warn $@;
    }
    $? = $status;
}

1;
