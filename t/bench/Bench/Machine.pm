# What the machine and the stack's processes say of themselves: memory, processor time, versions. It only looks.
package Bench::Machine;

use strict;
use warnings;

use Exporter qw(import);
use List::Util qw(sum0);
use POSIX ();

our @EXPORT_OK = qw(children lane_seconds machine private_memory private_memory_by_kind processor_seconds stolen_share);

# Processes that this one has started.
sub children {
    my ($parent) = @_;
    open my $in, '<', "/proc/$parent/task/$parent/children" or return;
    return split ' ', <$in> // '';
}

sub daemon_pids {
    my ($s) = @_;
    my $master = $s->master_pid;
    return ($master, children($master));
}

sub private_bytes_of {
    my ($pid) = @_;
    my $kib = 0;
    open my $in, '<', "/proc/$pid/smaps_rollup" or return 0;
    while (my $line = <$in>) { $kib += $1 if $line =~ /^Private_(?:Clean|Dirty):\s+(\d+)/ }
    return $kib * 1024;
}

# Private bytes of the master and all its processes.
sub private_memory { my ($s) = @_; return sum0(map { private_bytes_of($_) } daemon_pids($s)) }

# The same by kind: master, read, store, purchase, admin, steward, courier.
sub private_memory_by_kind {
    my ($s) = @_;
    my %bytes = (master => private_bytes_of($s->master_pid));
    for my $pid (children($s->master_pid)) {
        my $kind = kind_of($pid) // next;
        $bytes{$kind} += private_bytes_of($pid);
    }
    return \%bytes;
}

sub kind_of {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/comm" or return undef;
    return <$in> =~ /^bp-(\w+)$/ ? $1 : undef;
}

sub seconds_of {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return 0;
    my @fields = split ' ', (split /\) /, <$in>)[-1];
    return ($fields[11] + $fields[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Seconds of processor time that each part of the stack has used.
sub processor_seconds {
    my ($s) = @_;
    my %pids = (
        battlepassd => [daemon_pids($s)],
        nginx => [$s->pid('nginx'), children($s->pid('nginx'))],
        mariadb => [$s->pid('mariadb')],
        redis => [$s->pid('redis')],
        economy => [$s->pid('economy')],
    );
    my %seconds = (load => sum0((times)[2, 3]));
    for my $name (keys %pids) {
        $seconds{$name} += sum0(map { seconds_of($_) } @{ $pids{$name} });
    }
    return \%seconds;
}

# The same of the daemon's processes, by kind: read, store, purchase, admin, steward, courier.
sub lane_seconds {
    my ($s) = @_;
    my %seconds;
    for my $pid (children($s->master_pid)) {
        my $kind = kind_of($pid) // next;
        $seconds{$kind} += seconds_of($pid);
    }
    return \%seconds;
}

# Runs the code; what share of the processor time that the machine wanted meanwhile its host has kept (0 without a host).
sub stolen_share {
    my ($code) = @_;
    my @before = _processor_ticks();
    $code->();
    my @after = _processor_ticks();
    my ($user, $nice, $system, undef, undef, $irq, $softirq, $stolen) = map { $after[$_] - $before[$_] } 0 .. 7;
    my $wanted = $user + $nice + $system + $irq + $softirq + $stolen;
    return $wanted ? $stolen / $wanted : 0;
}

# Of all processors: user, nice, system, idle, iowait, irq, softirq, steal (proc(5)).
sub _processor_ticks {
    open my $in, '<', '/proc/stat' or die "/proc/stat: $!\n";
    my (undef, @ticks) = split ' ', scalar <$in>;
    return @ticks[0 .. 7];
}

sub first_line {
    my ($command) = @_;
    my ($line) = split /\n/, `{ $command; } 2>&1`;
    return $line // '';
}

# What the figures were measured on.
sub machine {
    my ($s) = @_;
    open my $in, '<', '/proc/cpuinfo' or die "/proc/cpuinfo: $!\n";
    my @models = map { /^model name\s*:\s*(.*)$/ ? "$1" : () } <$in>;
    my ($kernel, $hardware) = (POSIX::uname())[ 2, 4 ];
    return {
        cores => scalar @models, processor => $models[0] // $hardware, kernel => $kernel,
        nginx => first_line('PATH=$PATH:/usr/sbin nginx -v') =~ s{^.*nginx/}{}r,
        mariadb => scalar $s->db->selectrow_array('SELECT VERSION()'),
        redis => $s->redis('INFO', 'server') =~ /^redis_version:(\S+)/m ? "$1" : '',
        wrk => first_line('wrk -v') =~ /^wrk (\S+)/ ? "$1" : '',
        sysbench => first_line('sysbench --version') =~ s/^sysbench //r,
    };
}

1;
